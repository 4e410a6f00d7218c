"""How fast a face follows a slider: the kernel's part, a page without a kernel, JupyterLab.

    python benchmarks/explorer.py [kernel] [static] [file] [lab] [--gate]
    python benchmarks/explorer.py paired
    python benchmarks/explorer.py picture

Prints what was measured beside what is asked for; with --gate it fails where a number misses twice
what is asked for, which leaves room for a busy machine; times may be longer by as much as a plain
product of matrices, in the same page in the same minute, takes longer than on the README's machine
(whose 16 ms were inferred: 33.5 ms where faces took 14.7 ms that take 7 ms there). Times in the
browser run from the slider's event to the pixels on the canvas, in Debian's Chromium; the screen
shows them up to a sixtieth of a second later. `file` is the page that `vae explore` writes.
`paired` measures ratios of one run, in turns: JupyterLab to a page, a kernel that trains to an idle
one, β's slider to a dimension's. `picture` measures nothing: it draws the README's picture of
three models.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from playwright.sync_api import sync_playwright

from vae_lib.explorer import OPENING, explore
from vae_lib.latent import decode_images
from vae_lib.pretrained import load_gallery, load_pretrained

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "browser"))
from explorer_pages import PATIENCE, READY, jupyterlab, pixels, run_all_cells, write_widgets

THREE = ("vae_celeba", "vae_beta_4", "vae_beta_10")
PICTURE = Path(__file__).parents[1] / "results" / "figures" / "explorer.png"
CELL = "from vae_lib.explorer import explore\nexplore('vae_celeba')"

# In the page: move the first latent slider and note when the last face is painted.
TOOLS = """() => {
  let slider = document.querySelector('.ve-latent input');
  const canvases = [...document.querySelectorAll('.ve-figures .ve-model canvas')];
  const context = canvases.at(-1).getContext('2d');
  let painted = () => {};
  const tools = { paints: 0, last: 0, count: 0 };
  context.putImageData = (...image) => {
    put.apply(context, image);
    tools.paints++;
    tools.last = performance.now();
    painted();
  };
  const { prototype } = CanvasRenderingContext2D;
  const put = prototype.putImageData;
  const previews = { count: 0, last: 0 };
  prototype.putImageData = function (...image) {
    put.apply(this, image);
    if (!this.canvas.matches('.ve-end')) return;
    previews.count++;
    previews.last = performance.now();
  };
  const rest = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const press = () => {
    const [before, ways] = [slider.value, ['stepUp', 'stepDown']];
    if (Math.floor(tools.count++ / 40) % 2) ways.reverse();
    for (const way of ways) if (slider.value === before) slider[way](); // at an end it turns back
    slider.dispatchEvent(new Event('input', { bubbles: true }));
    return performance.now();
  };
  tools.latencies = async (events) => {
    const times = [];
    for (let i = 0; i < events; i++) {
      const paint = new Promise((resolve) => (painted = resolve));
      const began = performance.now();
      press();
      await paint;
      times.push(tools.last - began);
      await rest(10 + 30 * Math.random());
    }
    return times;
  };
  tools.use = (selector) => (slider = document.querySelector(selector));
  tools.without = (previews) => {
    for (const end of document.querySelectorAll('.ve-end')) end.hidden = previews;
  };
  tools.previews = async (events) => {
    const found = { times: [], count: Infinity };
    for (let i = 0; i < events; i++) {
      previews.count = 0;
      const began = press();
      do await rest(200);
      while (performance.now() - Math.max(began, previews.last) < 400);
      found.times.push(previews.last - began);
      found.count = Math.min(found.count, previews.count);
    }
    return found;
  };
  tools.burst = async (events, seconds) => {
    let [longest, beat, beating] = [0, performance.now(), true];
    const heart = async () => {
      while (beating) {
        await rest(0);
        longest = Math.max(longest, performance.now() - beat);
        beat = performance.now();
      }
    };
    heart();
    const [began, paints] = [performance.now(), tools.paints];
    let end;
    for (let i = 0; i < events; i++) {
      while (performance.now() - began < (1000 * seconds * i) / events) await rest(0);
      end = press();
    }
    const frames = (tools.paints - paints) / ((performance.now() - began) / 1000);
    while (performance.now() - Math.max(end, tools.last) < 400) await rest(20);
    beating = false;
    for (let i = 0; i < 3; i++) {
      globalThis.gc?.();
      await rest(200);
    }
    const megabytes = performance.memory ? performance.memory.usedJSHeapSize / 1e6 : 0;
    return { frames, backlog: Math.max(0, tools.last - end), longest, megabytes };
  };
  globalThis.tools = tools;
}"""
# The plain reference, none of this project's code: a product of two matrices in JavaScript, in ms.
PLAIN = """() => {
  const n = 256;
  const [a, b, c] = [0, 1, 2].map(() => new Float32Array(n * n).fill(0.5));
  const times = [];
  for (let round = 0; round < 15; round++) {
    const began = performance.now();
    for (let i = 0; i < n; i++)
      for (let k = 0; k < n; k++)
        for (let j = 0; j < n; j++) c[i * n + j] += a[i * n + k] * b[k * n + j];
    times.push(performance.now() - began);
  }
  return times.sort((x, y) => x - y)[7];
}"""

PLAIN_MS = 16  # on the machine of the README's table

missed = []


def slowness(page) -> float:
    """Times by which this machine, at this moment, is slower than the README's; at least 1."""
    times = page.evaluate(PLAIN) / PLAIN_MS
    print(f"measuring; the plain reference takes {times:.1f} times the README's", flush=True)
    return max(1.0, times)


def report(what: str, asked: str, got: str, ratio: float) -> None:
    """One line of the table; `ratio` is how many times the bound the worst number is."""
    if ratio > 2:
        missed.append(what)
    print(f"{what:58} {asked:>14} {got:>20}  {'' if ratio <= 1 else 'MISSED'}", flush=True)


def report_times(what: str, times: list[float], middle: float, high: float, slow: float) -> None:
    found = np.percentile(times, [50, 95])
    asked = f"≤ {middle:g} / {high:g} ms"
    got = f"{found[0]:.1f} / {found[1]:.1f} ms"
    report(what, asked, got, max(found[0] / middle, found[1] / high) / slow)


def measure_kernel() -> None:
    """From the message with a code to the message with its pixels."""
    explorer = explore("vae_celeba", device="cpu")
    explorer.send = lambda *_: None
    codes = np.random.default_rng(0).standard_normal((550, 128)).astype(np.float32)
    times = []
    for request, z in enumerate(codes):
        start = time.perf_counter()
        content = {"kind": "decode", "request": request, "models": [0]}
        explorer._answer(explorer, content, [memoryview(z.tobytes())])
        times.append(1000 * (time.perf_counter() - start))
    high = np.percentile(times[50:], 95)
    report("kernel side alone, p95", "≤ 5 ms", f"{high:.1f} ms", high / 5)


def check_face(page) -> bool:
    """Whether the canvas shows what PyTorch decodes where the first latent slider stands."""
    gallery = load_gallery("vae_celeba")
    z = gallery.mu[[gallery.ids.index(OPENING[0])]].astype(np.float16).astype(np.float32)
    z[0, gallery.kl.argmax()] = float(
        page.locator(".ve-latent output").first.inner_text().replace("−", "-")
    )
    face = decode_images(load_pretrained("vae_celeba"), z)[0]
    return bool(np.abs(pixels(page).astype(int) - face).max() <= 2)


def measure_bursts(page, where: str, slow: float) -> None:
    bursts = [page.evaluate("tools.burst(500, 1)") for _ in range(10)]
    right = check_face(page)
    backlog = max(burst["backlog"] for burst in bursts)
    # What is collected when is not ours to decide: the least of three against the least of three.
    early, late = (min(b["megabytes"] for b in part) for part in (bursts[1:4], bursts[-3:]))
    growth = late - early
    got = f"{backlog:.0f} ms"
    report(f"{where}: 500 events in a second, backlog", "≤ 100 ms", got, backlog / 100 / slow)
    report(f"{where}: … ends on the right face", "yes", "yes" if right else "no", 0 if right else 9)
    report(f"{where}: … memory over ten bursts", "flat", f"{growth:+.1f} MB", growth / 2)


def measure_previews(page, slow: float) -> None:
    """What small faces at the sliders' ends cost while the hand moves, and when they are there."""
    page.set_viewport_size({"width": 1366, "height": 900})  # sixteen rows and more
    times: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(4):  # in turns, so that both meet the same machine
        for without in (False, True):
            page.evaluate("(without) => tools.without(without)", without)
            page.evaluate("tools.latencies(5)")
            times[without] += page.evaluate("tools.latencies(40)")
    page.evaluate("tools.without(false)")
    with_, without_ = (np.percentile(times[without], [50, 95]) for without in (False, True))
    middle, high = with_ / without_
    got = f"{middle:.2f} / {high:.2f}"
    report(
        "previews: times a face takes longer, median / p95", "≤ 1.15", got, max(middle, high) / 1.15
    )
    page.evaluate("tools.previews(2)")
    found = page.evaluate("tools.previews(5)")
    longest = max(found["times"])
    what = f"previews: {found['count']} faces after the hand rests"
    report(what, "≤ 500 ms", f"{longest:.0f} ms", longest / 500 / slow)


def measure_static(browser, folder: Path) -> None:
    path = write_widgets(folder, explore("vae_celeba", device="cpu"))
    size = path.stat().st_size / 1e6
    report("page with one model", "≤ 4.5 MB", f"{size:.2f} MB", 9 if size > 4.5 else 0)
    page = browser.new_page()
    page.goto(path.as_uri())
    page.wait_for_function(READY, timeout=PATIENCE)
    page.evaluate(TOOLS)
    page.evaluate("tools.latencies(30)")
    slow = slowness(page)
    report_times("static page, one model", page.evaluate("tools.latencies(150)"), 20, 33, slow)
    measure_previews(page, slow)
    measure_bursts(page, "static page", slow)
    page.close()

    path = write_widgets(folder, explore(THREE, device="cpu"))
    size = path.stat().st_size / 1e6
    report("page with three models", "≤ 12 MB", f"{size:.2f} MB", 9 if size > 12 else 0)
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.goto(path.as_uri())
    page.wait_for_function(READY, timeout=PATIENCE)
    page.evaluate(TOOLS)
    page.evaluate("tools.latencies(20)")
    slow = slowness(page)
    burst = page.evaluate("tools.burst(500, 3)")
    frames = burst["frames"]
    report(
        "static page, three models", "≥ 12 frames/s", f"{frames:.0f} frames/s", 12 / frames / slow
    )
    longest = burst["longest"]
    report(
        "static page, three models: longest block",
        "≤ 100 ms",
        f"{longest:.0f} ms",
        longest / 100 / slow,
    )
    page.close()


def measure_file(browser, folder: Path) -> None:
    """`vae explore`, warm: the CPU's time until the page stands, and the page's until its face."""
    for models, most in ((THREE[:1], 4.5), (THREE, 11)):
        path = folder / "explore.html"
        command = [sys.executable, "-m", "vae_lib", "explore", *models, "--out", str(path)]
        for _ in range(2):  # the first fills the system's caches
            before = os.times()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            after = os.times()
        taken = sum(after[2:4]) - sum(before[2:4])
        page = browser.new_page()
        page.goto(path.as_uri())
        page.locator(".ve-speed", has_text="ms").first.wait_for(timeout=PATIENCE)
        taken += page.evaluate("performance.now()") / 1000
        page.close()
        what = f"vae explore, {len(models)} model{'s' * (len(models) > 1)}"
        report(f"{what}: command to first face", "≤ 6 s", f"{taken:.1f} s", taken / 6)
        size = path.stat().st_size / 1e6
        report(f"{what}: file", f"≤ {most:g} MB", f"{size:.2f} MB", 9 if size > most else 0)


def measure_lab(browser, folder: Path) -> None:
    with jupyterlab(folder, CELL) as address:
        page = browser.new_page(viewport={"width": 1400, "height": 1400})
        run_all_cells(page, address)
        page.wait_for_selector(".ve-there", timeout=PATIENCE)
        page.evaluate(TOOLS)
        page.evaluate("tools.latencies(30)")
        slow, times = slowness(page), page.evaluate("tools.latencies(150)")
        report_times("JupyterLab with a kernel, one model", times, 25, 50, slow)
        measure_bursts(page, "JupyterLab", slow)
        page.close()


TRAINING = """
import torch
from vae_lib import TrainConfig, open_faces, train
torch.set_num_threads(2)
train(TrainConfig(epochs=1000, batch_size=64), open_faces(kind="synthetic", synthetic_count=2000))
"""
KERNEL = "window.jupyterapp.shell.currentWidget.sessionContext.session.kernel"


def in_turns(rounds: int, events: int, *sides: tuple) -> list[np.ndarray]:
    """Median and p95 of each side, a page and its slider, measured in turns."""
    times: list[list[float]] = [[] for _ in sides]
    for _ in range(rounds):
        for (page, selector), found in zip(sides, times, strict=True):
            page.bring_to_front()
            page.evaluate("(selector) => void tools.use(selector)", selector)
            page.evaluate("tools.latencies(5)")
            found += page.evaluate("(events) => tools.latencies(events)", events)
    return [np.percentile(found, [50, 95]) for found in times]


def report_ratio(what: str, most: float, over: np.ndarray, under: np.ndarray) -> None:
    middle, high = over / under
    print(f"{what}: {over.round(1)} ms to {under.round(1)} ms", flush=True)
    report(what, f"≤ {most:g}", f"{middle:.2f} / {high:.2f}", max(middle, high) / most)


def measure_pairs(browser, folder: Path) -> None:
    latent, beta = ".ve-latent input", ".ve-beta input"
    size = {"width": 1366, "height": 768}

    def ready(page):
        page.evaluate(TOOLS)
        page.evaluate("tools.latencies(30)")
        return page

    static = browser.new_page(viewport=size)
    static.goto(write_widgets(folder, explore("vae_celeba", device="cpu")).as_uri())
    static.wait_for_function(READY, timeout=PATIENCE)
    ready(static)
    with jupyterlab(folder, CELL) as address:
        page = browser.new_page(viewport=size)
        run_all_cells(page, address)
        page.wait_for_selector(".ve-there", timeout=PATIENCE)
        lab, alone = in_turns(8, 40, (ready(page), latent), (static, latent))
        report_ratio("JupyterLab to the page, median / p95", 1.3, lab, alone)
        static.close()
        page.evaluate(f"(code) => void {KERNEL}.requestExecute({{ code }})", TRAINING)
        page.wait_for_timeout(20_000)  # faces are drawn, and training goes
        (trains,) = in_turns(8, 40, (page, latent))
        busy = page.evaluate(f"{KERNEL}.status") == "busy"
        page.evaluate(f"{KERNEL}.interrupt()")
        report_ratio("… while the kernel trains, to idle", 3, trains, lab)
        page.wait_for_timeout(5_000)
        right = busy and check_face(page)
        report("… it trained all the time; ends on the right face", "yes",
               "yes" if right else "no", 0 if right else 9)  # fmt: skip
    with jupyterlab(folder, CELL.replace("vae_celeba", "vae_any_beta")) as address:
        page = browser.new_page(viewport=size)
        run_all_cells(page, address)
        page.wait_for_selector(".ve-there", timeout=PATIENCE)
        rate, dimension = in_turns(8, 40, (ready(page), beta), (page, latent))
        report_ratio("JupyterLab: β's slider to a dimension's", 1.3, rate, dimension)


def draw_picture(browser, folder: Path) -> None:
    """A smile on the opening face, decoded by the three models: the README's picture."""
    path = write_widgets(folder, explore(THREE, device="cpu"))
    page = browser.new_page(viewport={"width": 960, "height": 800})
    page.goto(path.as_uri())
    page.wait_for_function(READY, timeout=PATIENCE)
    page.get_by_label("Smiling", exact=True).focus()
    for _ in range(15):
        page.keyboard.press("ArrowRight")
    page.wait_for_timeout(1_000)
    PICTURE.parent.mkdir(exist_ok=True)
    page.locator(".vae-explorer").screenshot(path=PICTURE)


@contextmanager
def chromium() -> Iterator:
    names = ("chromium", "chromium-browser", "google-chrome")
    executable = next(filter(None, map(shutil.which, names)), None)
    if executable is None:
        sys.exit("There is no Chromium here; install it with `apt install chromium`.")
    flags = ["--no-sandbox", "--js-flags=--expose-gc", "--enable-precise-memory-info"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=flags)
        yield browser
        browser.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "parts",
        nargs="*",
        metavar="PART",
        help="kernel, static, file, lab; all four by default; or paired, or picture",
    )
    parser.add_argument("--gate", action="store_true", help="fail beyond twice what is asked for")
    arguments = parser.parse_args()
    parts = arguments.parts or ["kernel", "static", "file", "lab"]
    if parts != ["picture"]:
        print(f"{'':58} {'asked':>14} {'got':>20}")
    if "kernel" in parts:
        measure_kernel()
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        if "static" in parts:
            measure_static(browser, Path(folder))
        if "file" in parts:
            measure_file(browser, Path(folder))
        if "lab" in parts:
            measure_lab(browser, Path(folder))
        if "paired" in parts:
            measure_pairs(browser, Path(folder))
        if "picture" in parts:
            draw_picture(browser, Path(folder))
    if arguments.gate and missed:
        print(f"Beyond twice what is asked for: {', '.join(missed)}.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
