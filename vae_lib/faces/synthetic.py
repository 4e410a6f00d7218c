"""Faces drawn from known factors: pictures whose causes nobody has to guess.

CelebA has no ground truth, so disentanglement there is an opinion. Here thirteen numbers decide
the whole picture, so it can be measured; and nothing has to be licensed or downloaded.

Every part of the body is an ellipsoid. Under an orthographic camera a ray meets a turned ellipsoid
in closed form, so depth and outline need no marching; neighbouring ellipsoids melt together by a
smooth maximum of their depths, whose differences give the slopes. Eyes, brows and mouth are painted
where the ray meets the head, in the head's own coordinates, and so turn with it.

Head coordinates are pixels: x to the viewer's right, y down, z towards the viewer, with the origin
between the eyes, at the depth of the ears. Framing follows the centre-cropped, aligned CelebA.
"""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from vae_lib.errors import InputError

SIZE = 64
# Raised by hand whenever the same factors give other pictures: caches of drawn faces carry it.
RENDERER = 1


@dataclass(frozen=True)
class Proportions:
    """Sizes of painted parts relative to the course's faces: what an experiment may change.

    >>> Proportions(mouth=1.5).word
    'mouth 1.5'
    """

    mouth: float = 1.0
    """Width, height and curve of the mouth, 0.25 to 1.6; larger ones leave the face."""
    glasses: float = 1.0
    """Lenses and the strength of rims, bridge and arms, 0.25 to 1.2."""

    def __post_init__(self) -> None:
        for name, most in (("mouth", 1.6), ("glasses", 1.2)):
            if not 0.25 <= getattr(self, name) <= most:
                raise InputError(
                    f"The proportion {name} is {getattr(self, name):g}; expected a number between "
                    f"0.25 and {most:g}, 1 for the course's faces."
                )

    @property
    def word(self) -> str:
        """What differs from the course's faces, ``""`` where nothing does."""
        changed = (f for f in fields(self) if getattr(self, f.name) != f.default)
        return ", ".join(f"{f.name} {getattr(self, f.name):g}" for f in changed)


USUAL = Proportions()


@dataclass(frozen=True)
class Factor:
    """One cause of the picture: its name, its range and what the numbers mean."""

    name: str
    low: float
    high: float
    meaning: str
    binary: bool = False


FACTORS: tuple[Factor, ...] = (
    Factor("yaw", -35.0, 35.0, "degrees; positive turns the face to the viewer's right"),
    Factor("pitch", -15.0, 15.0, "degrees; positive looks up"),
    Factor("light", -75.0, 75.0, "degrees; azimuth of the lamp, positive from the viewer's right"),
    Factor("skin_tone", 0.0, 1.0, "lightest to darkest along the Monk scale"),
    Factor("hair_colour", 0.0, 1.0, "black, brown, chestnut, blond, platinum"),
    Factor("hair_length", 0.0, 1.0, "cropped to shoulder length"),
    Factor("face_width", 0.85, 1.15, "width of the head relative to the average head"),
    Factor("smile", -0.5, 1.0, "corners of the mouth: -0.5 drooping, 0 straight, 1 broad smile"),
    Factor("mouth_opening", 0.0, 1.0, "closed to wide open"),
    Factor("eye_opening", 0.0, 1.0, "closed to wide open"),
    Factor("brow_height", 0.0, 1.0, "lowered to raised"),
    # An arc, not the whole circle: an open interval can be recovered by regression.
    Factor("background_hue", 0.0, 280.0, "degrees of CIELAB hue, from rose over green to violet"),
    Factor("glasses", 0.0, 1.0, "0 without, 1 with", binary=True),
)
NAMES = ", ".join(factor.name for factor in FACTORS)

# Colours are walked through in even steps of CIELAB. Skin: the ten anchors of the Monk Skin Tone
# scale (E. Monk, 2019; skintone.google). Hair: black to platinum.
MONK = "f6ede4 f3e7db f7ead0 eadaba d7bd96 a07e56 825c43 604134 3a312a 292420"
HAIR = "0d0b0c 2b1c16 4f3020 7e4a28 a97845 d8b273 efe2c4"

# Ellipsoids: centre x, y, z and radii x, y, z, in head coordinates.
PARTS = torch.tensor(
    [
        [0.0, 30.0, -7.0, 9.5, 20.0, 10.0],  # neck
        [0.0, 46.0, -8.0, 34.0, 19.0, 14.0],  # shoulders
        [0.0, -13.0, -12.0, 17.0, 13.0, 10.0],  # hair: behind the neck, cap, side locks
        [0.0, -9.5, -6.0, 18.4, 19.6, 22.6],
        [-15.5, -7.5, -3.0, 1.5, 5.5, 5.0],
        [15.5, -7.5, -3.0, 1.5, 5.5, 5.0],
        [0.0, -9.0, -6.0, 17.5, 19.0, 22.0],  # cranium
        [0.0, 3.0, 0.0, 16.8, 22.5, 18.0],  # face
        [0.0, 13.0, 1.0, 13.8, 13.5, 15.0],  # jaw
        [0.0, 21.0, 6.0, 7.0, 6.0, 8.0],  # chin
        [-17.8, 3.0, -4.0, 2.0, 5.0, 3.2],  # ears
        [17.8, 3.0, -4.0, 2.0, 5.0, 3.2],
        [0.0, 4.0, 13.5, 2.6, 8.5, 6.0],  # nose: bridge, tip, wings
        [0.0, 9.6, 18.5, 2.8, 2.5, 4.2],
        [-2.5, 10.6, 16.0, 1.8, 1.7, 3.2],
        [2.5, 10.6, 16.0, 1.8, 1.7, 3.2],
    ]
)
LAYERS = [2, 1, 3, 6, 4]  # ellipsoids of body, back of the hair, hair, head and nose
HAIR_PARTS, CHIN = slice(2, 6), 9
# What a cropped head of hair gains when it grows to shoulder length.
GROWTH = torch.tensor(
    [
        [0.0, 19.0, 0.0, 5.0, 24.0, 0.0],
        [0.0, 0.0, 0.0, 2.6, 2.6, 2.6],
        [-2.0, 23.0, 0.0, 4.0, 23.0, 5.0],
        [2.0, 23.0, 0.0, 4.0, 23.0, 5.0],
    ]
)
PIVOT = torch.tensor([0.0, 8.0, 8.0])  # the point of the head that stays where it is on screen
MELT = 1.6  # pixels over which neighbouring ellipsoids run into each other


class Window:
    """A rectangle of the picture that some part never leaves; the rest need not be worked out.

    ``x`` and ``y`` are the pixels' coordinates. ``monomials`` (6, pixels) reach one pixel further
    all round, because slopes are differences between neighbours.
    """

    def __init__(self, top: int, bottom: int, left: int = 0, right: int = SIZE) -> None:
        self.rows, self.columns = slice(top, bottom), slice(left, right)
        x = torch.arange(left - 1, right + 1) - 31.5
        y = torch.arange(top - 1, bottom + 1)[:, None] - 32.5
        self.x, self.y = x[1:-1], y[1:-1]
        self.shape = (len(y), len(x))
        grid = torch.broadcast_tensors(torch.ones(1), x, y, x * x, x * y, y * y)
        self.monomials = torch.stack(grid).flatten(1)

    def of(self, field: Tensor) -> Tensor:
        """This window's part of a whole picture (..., 64, 64)."""
        return field[..., self.rows, self.columns]


WHOLE, BODY, HEAD = Window(0, SIZE), Window(40, SIZE), Window(2, SIZE, 4, 60)
NOSE, LENSES = Window(22, 54, 14, 50), Window(16, 52)
# Rows of the head's window on which these are painted.
EYES, MOUTH_ROWS = slice(10, 46), slice(38, 62)
EYE_X, EYE_HALF_WIDTH = 9.2, 4.8
LENS_Z = 19.5  # the plane of the spectacle lenses
DEGREE = math.pi / 180
CHUNK = 64  # faces drawn together, by one thread
# sRGB primaries, IEC 61966-2-1.
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def _srgb_to_lab(rgb: np.ndarray) -> np.ndarray:
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = linear @ XYZ.T / XYZ.sum(1)
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    x, y, z = f[:, 0], f[:, 1], f[:, 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)


def _lab_to_srgb(lab: np.ndarray) -> np.ndarray:
    y = (lab[:, 0] + 16) / 116
    f = np.stack([y + lab[:, 1] / 500, y, y - lab[:, 2] / 200], 1)
    xyz = np.where(f > 6 / 29, f**3, (116 * f - 16) * 27 / 24389) * XYZ.sum(1)
    linear = np.clip(xyz @ np.linalg.inv(XYZ).T, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def _light(srgb: np.ndarray) -> Tensor:
    """Light intensities. Gamma 2 instead of sRGB's curve, because its inverse is a square root."""
    return torch.tensor(srgb**2, dtype=torch.float32)


def _even_path(anchors: str, steps: int = 65) -> Tensor:
    """Walk through colours at constant speed in CIELAB; returns light intensities (steps, 3)."""
    lab = _srgb_to_lab(np.array([list(bytes.fromhex(code)) for code in anchors.split()]) / 255)
    walked = np.r_[0, np.linalg.norm(np.diff(lab, axis=0), axis=1).cumsum()]
    stops = np.linspace(0, walked[-1], steps)
    return _light(_lab_to_srgb(np.stack([np.interp(stops, walked, c) for c in lab.T], 1)))


def _hue_arc(degrees: float, steps: int = 65) -> Tensor:
    hue = np.radians(np.linspace(10, 10 + degrees, steps))
    lab = np.stack([np.full(steps, 68.0), 34 * np.cos(hue), 34 * np.sin(hue)], 1)
    return _light(_lab_to_srgb(lab))


SKIN_PATH, HAIR_PATH, HUE_PATH = _even_path(MONK), _even_path(HAIR), _hue_arc(280)


def _along(path: Tensor, position: Tensor) -> Tensor:
    """Colours (n, 3, 1, 1) at positions (n,) in [0, 1] along a path."""
    where = position.clamp(0, 1) * (len(path) - 1)
    left = where.long().clamp(max=len(path) - 2)
    return torch.lerp(path[left], path[left + 1], (where - left)[:, None])[..., None, None]


def _colour(code: str) -> Tensor:
    return _light(np.array(list(bytes.fromhex(code))) / 255).view(3, 1, 1)


WRAP = torch.tensor([0.40, 0.25, 0.20]).view(3, 1, 1)
KEY = 0.85 / (1 + WRAP)  # strength of the lamp where it shines straight down, and where it grazes
FILL = KEY * WRAP
WARMTH = torch.tensor([1.08, 0.94, 0.82]).view(3, 1, 1)
BLUSH = torch.tensor([0.03, 0.22, 0.18]).view(3, 1, 1)
LIP_STAIN = torch.tensor([0.80, 0.42, 0.45]).view(3, 1, 1)
SCLERA, IRIS, INK, SPARK = map(_colour, ("f4f1ee", "7a4f2c", "1a1210", "ffffff"))
TEETH, MOUTH, CLOTH = map(_colour, ("f5f0e6", "4a1418", "4a5a70"))
FRAME, LENS = map(_colour, ("1d4a7d", "e4f0fa"))


def _over(canvas: Tensor, colour: Tensor, alpha: Tensor) -> Tensor:
    """Paint on the canvas (n, 3, h, w), in place, where alpha (n, h, w) is not 0."""
    return canvas.lerp_(colour, alpha[:, None])


def _soft(distance: Tensor) -> Tensor:
    """Coverage of a pixel whose centre lies this far, in pixels, inside an edge."""
    return (distance + 0.5).clamp(0, 1)


def _between(v: Tensor, top: Tensor, bottom: Tensor) -> Tensor:
    """How much of the pixel [v - 1/2, v + 1/2] lies between two curves; exactly 0 if they touch."""
    return (torch.minimum(v + 0.5, bottom) - torch.maximum(v - 0.5, top)).clamp(0, 1)


def _blob(u: Tensor, v: Tensor, width: float, height: float) -> Tensor:
    return (-((u / width) ** 2) - (v / height) ** 2).clamp_(min=-20).exp_()


@dataclass
class Surface:
    """What the camera sees of some melted ellipsoids, each field of shape (n, h, w)."""

    depth: Tensor
    normal: tuple[Tensor, Tensor, Tensor]


def _rotation(yaw: Tensor, pitch: Tensor) -> Tensor:
    """Nod, then turn: head to camera, (n, 3, 3)."""
    cy, sy, cp, sp = yaw.cos(), yaw.sin(), pitch.cos(), pitch.sin()
    rows = [cy, sy * sp, sy * cp, torch.zeros_like(yaw), cp, -sp, -sy, cy * sp, cy * cp]
    return torch.stack(rows, -1).view(-1, 3, 3)


def _ellipsoids(parts: Tensor, rotation: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Ellipsoids (n, e, 6), turned by (n, e, 3, 3) about the pivot, as polynomials in x and y.

    In the camera's frame an ellipsoid is p' M p = 1 with M = R diag(1/r²) R'. Eliminating z leaves
    the outline, a quadratic form q(x, y) = 1 with matrix [[a, b], [b, c]], and the nearer depth
    z = l(x, y) + sqrt(d), d = (1 - q) / M_zz, with l linear. Returns the coefficients of l, of d
    and of the squared gradient of d, (n, e, 3 or 6), for lengths measured in units of the melt.
    """
    centre = ((parts[..., :3] - PIVOT)[..., None, :] @ rotation.mT).squeeze(-2) + PIVOT
    m = (rotation / parts[..., None, 3:] ** 2) @ rotation.mT
    cx, cy, cz = centre.unbind(-1)
    scale = -1 / m[..., 2, 2]
    lx, ly = m[..., 0, 2] * scale, m[..., 1, 2] * scale
    line = torch.stack([cz - lx * cx - ly * cy, lx, ly], -1) / MELT
    scale /= MELT**2
    a, b, c = (m[..., i, j] * scale for i, j in ((0, 0), (0, 1), (1, 1)))
    a, b, c = (v + u * MELT**-2 for v, u in ((a, lx * lx), (b, lx * ly), (c, ly * ly)))
    px, py = a * cx + b * cy, b * cx + c * cy  # minus half the gradient of d, at (0, 0)
    d = torch.stack([px * cx + py * cy - scale, -2 * px, -2 * py, a, 2 * b, c], -1)
    steep = [px**2 + py**2, -2 * (px * a + py * b), -2 * (px * b + py * c)]
    steep += [a**2 + b**2, 2 * b * (a + c), b**2 + c**2]
    return line, d, 4 * torch.stack(steep, -1)


def _weight(line: Tensor, d: Tensor, window: Window) -> Tensor:
    """Sum of exp(depth / melt) over ellipsoids, the smooth maximum that melts them together."""
    # In place: fetching fresh memory costs more than the arithmetic. Outside its outline, where
    # d < 0, an ellipsoid sinks out of sight.
    depth = (line @ window.monomials[:3]).addcmul_(d, d.clamp(min=0.4).rsqrt_())
    return depth.clamp_(min=-14).exp_().sum(1).unflatten(-1, window.shape)


def _inside(d: Tensor, steep: Tensor, window: Window) -> Tensor:
    """Signed distance to the outline in pixels, positive within, (n, h, w); first order in d."""
    slope = (steep @ window.monomials).clamp_(min=1e-2).rsqrt_()
    return slope.mul_(d).amax(1).unflatten(-1, window.shape)[:, 1:-1, 1:-1]


def _see(form: Sequence[Tensor], window: Window) -> tuple[Tensor, Tensor]:
    line, d, steep = form
    d = d @ window.monomials
    return _weight(line, d, window), _inside(d, steep, window)


def _surface(weight: Tensor) -> Surface:
    z = weight.log_().mul_(MELT)
    # Beyond the outline the depth falls off a cliff, which must not turn the rim's normals.
    x = (z[:, 1:-1, :-2] - z[:, 1:-1, 2:]).mul_(0.5).clamp_(-2.5, 2.5)
    y = (z[:, :-2, 1:-1] - z[:, 2:, 1:-1]).mul_(0.5).clamp_(-2.5, 2.5)
    nz = torch.addcmul(torch.ones(1), x, x).addcmul_(y, y).rsqrt_()
    return Surface(z[:, 1:-1, 1:-1], (x.mul_(nz), y.mul_(nz), nz))


def _head_coordinates(
    depth: Tensor, rotation: Tensor, window: Window, axes: tuple[int, ...] = (0, 1, 2)
) -> list[Tensor]:
    """The points seen at these depths, in the head's own coordinates, each (n, h, w)."""
    shift = PIVOT - PIVOT @ rotation
    points = []
    for axis in axes:
        rx, ry, rz = rotation[:, :, axis, None, None].unbind(1)
        flat = rx * window.x + (ry * window.y + shift[:, axis, None, None])
        points.append(flat.addcmul_(rz, depth))
    return points


def _shade(albedo: Tensor, surface: Surface, lamp: Tensor, gloss: float | Tensor) -> Tensor:
    """Lit by a lamp, a pale sky and a little bounce; red light wraps furthest around the edge."""
    nx, ny, nz = surface.normal
    facing = lamp[:, 0] * nx + lamp[:, 1] * ny + lamp[:, 2] * nz
    light = torch.addcmul(FILL, facing[:, None], KEY).clamp_(min=0)
    light += (0.30 - 0.10 * ny)[:, None]
    shine = ((facing + nz) / (2 + 2 * lamp[:, 2]).sqrt()).clamp_(min=0)  # Blinn's halfway vector
    for _ in range(3):
        shine.mul_(shine)
    return light.mul_(albedo).add_(shine.mul_(gloss)[:, None])


def _strands(across: Tensor) -> Tensor:
    return 1 + 0.08 * torch.cos(23 * across) + 0.06 * torch.cos(51 * across)


# The wall is brightest behind the head; the hair behind the neck darkens downwards.
BACK_DEPTH = torch.tensor(-12.0)
WALL = 1.05 - 0.40 * ((WHOLE.x / 40) ** 2 + ((WHOLE.y + 6) / 44) ** 2)
BACK_STRANDS = _strands(WHOLE.x / 20) * (0.55 - 0.006 * WHOLE.y)


def _parts(f: dict[str, Tensor]) -> Tensor:
    """This head's ellipsoids, (n, e, 6)."""
    parts = PARTS.repeat(len(f["yaw"]), 1, 1)
    parts[:, HAIR_PARTS] += GROWTH * f["hair_length"]
    parts[:, CHIN, 1] += 2.5 * f["mouth_opening"].flatten()
    parts[:, LAYERS[0] :, 0::3] *= f["face_width"]
    return parts


def _skin_colour(f: dict[str, Tensor]) -> Tensor:
    """Skin in warm lamp light, exposed as a photographer would: longer for darker skin."""
    tone = f["skin_tone"]
    return _along(SKIN_PATH, tone.flatten()) * WARMTH * (0.9 + 2.1 * tone[:, None] ** 3)


def _dimmed(f: dict[str, Tensor]) -> Tensor:
    """How much of their light eyes and teeth keep, so that they do not glare from dark skin."""
    return 1 - 0.3 * f["skin_tone"][:, None]


def _paint_skin(skin: Tensor, x: Tensor, y: Tensor, f: dict[str, Tensor]) -> Tensor:
    """Skin with flushed cheeks and nose, nostrils, and the shade of the hair above."""
    side = x.abs()
    flush = _blob(side - 10.5, y - 9.5 + f["smile"], 5.5, 4.5) + 0.6 * _blob(x, y - 9.5, 3.5, 3)
    skin = skin * (1 - flush[:, None] * BLUSH)
    dark = 0.5 * _blob(side - 1.8, y - 12.1, 1.2, 0.9) + 0.12 * _blob(x, y - 13, 4, 1.2)
    dark += 0.35 * (_opening(x, y, f) / 2.5).clamp_(max=0).exp_() * (-y / 6).clamp(0, 1)
    return skin.mul_((1 - dark)[:, None])


def _opening(x: Tensor, y: Tensor, f: dict[str, Tensor]) -> Tensor:
    """Distance outside the frame that the hair leaves free; long hair parts like a curtain."""
    u = x / (16 * f["face_width"])
    v = (y - 5) / (21.5 + f["hair_length"] * (5 - 0.55 * x.abs()))
    fourth = u.square_().square_() + v.square_().square_()
    return fourth.sqrt_().sqrt_().mul_(16).sub_(16)


def _paint_eyes(skin: Tensor, x: Tensor, y: Tensor, f: dict[str, Tensor]) -> None:
    side = x.abs()
    u = side - EYE_X  # outwards from the middle of either eye
    v = y + 0.10 * u
    arch = 1 - (u / EYE_HALF_WIDTH) ** 2
    lower = 1.8 * arch
    upper = lower - (0.05 + 5.6 * f["eye_opening"] * arch.clamp(min=0))
    skin.mul_((1 - 0.20 * _blob(u, v + 1.5, 5.5, 3.5))[:, None])
    ball = _between(v, upper, lower)
    _over(skin, SCLERA * _dimmed(f), ball * (0.6 + 0.2 * (v - upper)).clamp_(max=0.95))
    # The eyes stay closer to the camera than the head does.
    iris_u = side - EYE_X + 3.0 * torch.sin(f["yaw"] * DEGREE) * x.sign()
    radius = (iris_u**2 + (v + 0.4) ** 2).sqrt_()
    _over(skin, IRIS, ball * _soft(2.6 - radius))
    _over(skin, INK, ball * _soft(1.4 - radius))
    lash = _between(v, upper - 0.9, upper + 0.1) * _soft(EYE_HALF_WIDTH + 0.3 - u.abs())
    _over(skin, INK, 0.85 * lash)
    # The catch-light sits on the lamp's side of the pupil.
    lamp_u = iris_u - 0.9 * torch.sin(f["light"] * DEGREE) * x.sign()
    spark = _soft(0.75 - (lamp_u**2 + (v + 1.3) ** 2).sqrt_())
    _over(skin, SPARK, spark * ball)


def _paint_brows(skin: Tensor, x: Tensor, y: Tensor, f: dict[str, Tensor], hair: Tensor) -> None:
    """Brows darken the skin, dark hair more than light, and so show on every skin."""
    u = x.abs() - EYE_X
    middle = -5.6 - 5.2 * f["brow_height"] + 0.05 * u**2 + 0.03 * u
    thick = 1.1 - 0.08 * u
    brow = _between(y, middle - thick, middle + thick) * _soft(5.4 - u.abs())
    _over(skin, skin * (0.16 + 0.35 * hair), 0.95 * brow)


def _paint_mouth(skin: Tensor, x: Tensor, y: Tensor, f: dict[str, Tensor], size: float) -> None:
    smile, gap = f["smile"], f["mouth_opening"]
    half = size * (6.2 + 1.8 * smile - 0.5 * gap)
    along = (x / half) ** 2
    arch = size * (1 - along).clamp_(min=0)
    line = 17.2 - size * 3.2 * smile * (along.clamp(max=1.3) - 0.45)
    top = line - 1.0 * gap * arch
    bottom = line + 5.2 * gap * arch
    bow = top - arch * (1.7 - 0.5 * _blob(x, 0 * x, size * 1.5, 1.0))
    _over(skin, skin * LIP_STAIN, _between(y, bow, bottom + 2.2 * arch))
    skin.mul_((1 - 0.25 * _between(y, bow, top))[:, None])  # the upper lip looks down
    inner = _between(y, top, bottom)
    _over(skin, MOUTH, inner)
    _over(skin, TEETH * _dimmed(f), inner * _soft(top + size * 1.3 + size * 0.9 * smile - y))
    seam = _between(y, top - 0.4, top + 0.4) * _soft(half - x.abs())
    _over(skin, MOUTH, 0.75 * seam * (1 - 0.7 * gap))


def _paint_glasses(picture: Tensor, f: dict[str, Tensor], rotation: Tensor, size: float) -> None:
    """Rims and lenses on a plane before the eyes, bent back a little at the temples."""
    r = rotation[..., None, None]
    straight = (LENS_Z - PIVOT[2] - r[:, 1, 2] * (LENSES.y - PIVOT[1])) - r[:, 0, 2] * LENSES.x
    depth = straight / r[:, 2, 2] + PIVOT[2]
    (x,) = _head_coordinates(depth, rotation, LENSES, (0,))
    depth -= 0.012 * x.clamp_(-17, 17).square_() / r[:, 2, 2]
    x, y = _head_coordinates(depth, rotation, LENSES, (0, 1))
    side = x.abs()
    u, v = (side - EYE_X - 0.2) / (6.7 * size), (y - 0.5) / (5.3 * size)
    u, v = u * u, v * v
    inside = 6 * size * (1 - (u * u + v * v + 1e-6).sqrt_().sqrt_())
    on = f["glasses"]
    glint = _soft(0.8 - (side - EYE_X + 0.8 * y - 5).abs()) * _soft(inside - 1.0)
    _over(picture, LENS, on * (0.07 * _soft(inside) + 0.22 * glint))
    bow = 0.05 * x * x
    less = 1 - size
    bow_top, bow_bottom = bow - (1.6 - 0.65 * less), bow - (0.3 + 0.65 * less)
    bridge = _between(y, bow_top, bow_bottom) * _soft(2.8 + 6.7 * less - side)
    rim = torch.maximum(_soft(0.7 * size - inside.abs()).clamp_(max=min(1.0, 1.4 * size)), bridge)
    _over(picture, FRAME * (1.1 - 0.06 * y)[:, None], on * rim)


def _draw(factors: Tensor, look: Proportions) -> Tensor:
    """Factors (n, k) to light intensities (n, 3, 64, 64), painted from the back to the front."""
    f = {factor.name: factors[:, i, None, None] for i, factor in enumerate(FACTORS)}
    yaw, pitch, azimuth = (factors[:, :3] * DEGREE).unbind(1)
    turned, torso = _rotation(yaw, pitch), _rotation(0.25 * yaw, 0 * pitch)
    lamp = torch.stack([azimuth.sin(), 0 * azimuth - 0.6, azimuth.cos()], 1)[..., None, None]
    lamp /= math.hypot(1, 0.6)
    hair_colour = _along(HAIR_PATH, f["hair_colour"].flatten())
    parts = _parts(f)
    rotation = turned[:, None].repeat(1, parts.shape[1], 1, 1)
    rotation[:, : LAYERS[0]] = torso[:, None]
    shapes = _ellipsoids(parts, rotation)
    body, back, hair, head, nose = zip(*(form.split(LAYERS, 1) for form in shapes), strict=True)

    picture = _along(HUE_PATH, f["background_hue"].flatten() / 280) * WALL
    tips = (38 * f["hair_length"] - 2).clamp(min=8)  # where the scissors cut
    (y,) = _head_coordinates(BACK_DEPTH, turned, WHOLE, (1,))
    covers = _soft(torch.minimum(_see(back, WHOLE)[1], tips - y))
    _over(picture, hair_colour * BACK_STRANDS, covers)

    head_weight, head_inside = _see(head, HEAD)
    weight, inside = _see(body, BODY)
    seen = _surface(weight)
    (y,) = _head_coordinates(seen.depth, torso, BODY, (1,))
    collar = _soft(y - 28.5 + 0.03 * BODY.x**2)
    cloth = torch.lerp(_skin_colour(f), CLOTH, collar[:, None])
    cloth = _shade(cloth, seen, lamp, 0.0)
    below = head_inside[:, BODY.rows.start - HEAD.rows.start :]
    shadow = 1 - 0.55 * (below.clamp(-30, 0) / 5).exp_()
    cloth[..., HEAD.columns] *= shadow[:, None]
    _over(BODY.of(picture), cloth, _soft(inside))

    weight, inside = _see(hair, WHOLE)
    seen = _surface(weight)
    x, y, z = _head_coordinates(seen.depth, turned, WHOLE)
    strands = _strands(x / (x * x + (z + 6) ** 2 + 1).sqrt_())
    wisps = 4 * strands - 4
    ahead = [HEAD.of(field) for field in (x, y, z, wisps)]
    parted = torch.where(ahead[2] > 0, _soft(_opening(ahead[0], ahead[1], f) + 0.5 * ahead[3]), 1.0)
    parting = 0.5 * f["hair_length"] * _blob(x, y + 24, 0.9, 9)
    locks = _shade(hair_colour * (strands * (1 - parting))[:, None], seen, lamp, 0.09 * strands)
    covers = _soft(torch.minimum(inside, tips - y + 2 * wisps))
    _over(picture, locks, covers)

    top, left = NOSE.rows.start - HEAD.rows.start, NOSE.columns.start - HEAD.columns.start
    height, width = NOSE.shape
    nose_weight = _weight(nose[0], nose[1] @ NOSE.monomials, NOSE)
    head_weight[:, top : top + height, left : left + width] += nose_weight
    face = _surface(head_weight)
    x, y, z = _head_coordinates(face.depth, turned, HEAD)
    skin = _paint_skin(_skin_colour(f), x, y, f)
    _paint_eyes(skin[:, :, EYES], x[:, EYES], y[:, EYES], f)
    _paint_brows(skin[:, :, EYES], x[:, EYES], y[:, EYES], f, hair_colour)
    _paint_mouth(skin[:, :, MOUTH_ROWS], x[:, MOUTH_ROWS], y[:, MOUTH_ROWS], f, look.mouth)
    thin = 0.6 * look.glasses
    arm = _between(y, -1 - thin + 0 * y, -1 + thin + 0 * y) * _soft(x.abs() - 14) * _soft(z + 2)
    _over(skin, FRAME, arm * f["glasses"])
    before = _soft(1.5 * (HEAD.of(seen.depth) - face.depth) * (HEAD.of(seen.normal[2]) + 0.2))
    hidden = before.mul_(parted).mul_(HEAD.of(covers))  # by the hair
    _over(
        HEAD.of(picture),
        _shade(skin, face, lamp, 0.05 + 0.04 * f["skin_tone"]),
        _soft(head_inside).mul_(1 - hidden),
    )

    wearing = factors[:, -1] > 0
    if wearing.any():
        some = {name: values[wearing] for name, values in f.items()}
        eyes = LENSES.of(picture)[wearing]
        _paint_glasses(eyes, some, turned[wearing], look.glasses)
        LENSES.of(picture)[wearing] = eyes
    return picture


def render(factors: np.ndarray, look: Proportions = USUAL) -> np.ndarray:
    """Draw the faces with these factors.

    Parameters
    ----------
    factors : array, shape (k,) or (n, k)
        One column per entry of ``FACTORS``, in its order and within its ranges.
    look : Proportions
        The course's faces, unless an experiment wants larger mouths or smaller glasses.

    Returns
    -------
    ndarray of uint8, shape (64, 64, 3) or (n, 64, 64, 3)
        RGB, a function of the factors alone.

    Raises
    ------
    InputError
        If the number of factors is wrong, or one is not a number or out of its range.

    Examples
    --------
    >>> render(draw_factors(2, seed=0)).shape
    (2, 64, 64, 3)
    """
    try:
        table = np.array(factors, dtype=np.float32, order="C")
    except (TypeError, ValueError):
        raise InputError(
            f"These factors are not numbers; expected {len(FACTORS)} for each face: {NAMES}."
        ) from None
    if table.ndim not in (1, 2) or table.shape[-1] != len(FACTORS):
        raise InputError(
            f"These factors have shape {table.shape}; expected ({len(FACTORS)},) or "
            f"(n, {len(FACTORS)}): {NAMES}."
        )
    rows = table.reshape(-1, len(FACTORS))
    _check(rows)
    images = np.empty((len(rows), SIZE, SIZE, 3), np.uint8)

    def draw(start: int) -> None:
        with torch.inference_mode():
            light = _draw(torch.from_numpy(rows[start : start + CHUNK]), look)
            grey = light.clamp_(0, 1).sqrt_().mul_(255).add_(0.5).to(torch.uint8)
            images[start : start + CHUNK] = grey.permute(0, 2, 3, 1).numpy()

    _side_by_side(draw, range(0, len(rows), CHUNK))
    return images.reshape(*table.shape[:-1], SIZE, SIZE, 3)


def _side_by_side(draw: Callable[[int], None], starts: range) -> None:
    """Call ``draw`` for each chunk, one chunk per thread: its tensors are too small to be split."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # also for the pool's threads, which ask when they begin
    try:
        if len(starts) < 2 or threads == 1:
            for start in starts:
                draw(start)
        else:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(draw, starts))
    finally:
        torch.set_num_threads(threads)


def _check(rows: np.ndarray) -> None:
    slack = 1e-4
    for values, factor in zip(rows.T, FACTORS, strict=True):
        reach = slack * (factor.high - factor.low)
        bad = ~((values >= factor.low - reach) & (values <= factor.high + reach))
        if bad.any():
            raise InputError(
                f"The factor {factor.name} is {values[bad][0]:g}; expected a number between "
                f"{factor.low:g} and {factor.high:g} ({factor.meaning}). Clip it to that range."
            )


def synthetic_faces(
    n: int, seed: int = 0, look: Proportions = USUAL
) -> tuple[np.ndarray, np.ndarray]:
    """Draw faces from independent, uniform factors.

    Parameters
    ----------
    n : int
        How many faces. The first m of n faces are the same for every n.
    seed : int
        The same seed gives the same faces on every machine, to within one grey level.
    look : Proportions
        As in `render`.

    Returns
    -------
    images : ndarray of uint8, shape (n, 64, 64, 3)
    factors : ndarray of float32, shape (n, k)
        The columns follow ``FACTORS``.

    Raises
    ------
    InputError
        If ``n`` is not a whole number above zero.

    Examples
    --------
    >>> images, factors = synthetic_faces(2, seed=0)
    >>> images.shape, factors.shape
    ((2, 64, 64, 3), (2, 13))
    """
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise InputError(f"Asked for {n!r} faces; expected a whole number, 1 or more.")
    factors = draw_factors(n, seed)
    return render(factors, look), factors


def draw_factors(n: int, seed: int) -> np.ndarray:
    """Factors of n faces, float32 (n, k): independent, and uniform over their ranges.

    Drawn row by row, so that fewer faces are the first of more.

    Examples
    --------
    >>> draw_factors(3, seed=0).shape
    (3, 13)
    """
    uniform = np.random.Generator(np.random.PCG64(seed)).random((n, len(FACTORS)))
    low, high = (np.array([getattr(f, end) for f in FACTORS]) for end in ("low", "high"))
    position = np.where([f.binary for f in FACTORS], uniform >= 0.5, uniform)
    return (low + (high - low) * position).astype(np.float32)
