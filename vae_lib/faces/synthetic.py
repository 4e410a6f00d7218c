"""Faces drawn from known factors: pictures whose causes nobody has to guess.

CelebA has no ground truth, so disentanglement there is an opinion. Here thirteen numbers decide
the whole picture, so it can be measured; and nothing has to be licensed or downloaded.

Every part of the body is an ellipsoid. Under an orthographic camera a ray meets a turned ellipsoid
in closed form, so depth, slope and outline need no marching; neighbouring ellipsoids melt together
by a smooth maximum of their depths. Eyes, brows and mouth are painted where the ray meets the head,
in the head's own coordinates, and so turn with it.

Head coordinates are pixels: x to the viewer's right, y down, z towards the viewer, with the origin
between the eyes, at the depth of the ears. Framing follows the centre-cropped, aligned CelebA.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vae_lib.errors import InputError

SIZE = 64


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
BODY_PARTS = torch.tensor(
    [
        [0.0, 30.0, -7.0, 9.5, 20.0, 10.0],  # neck
        [0.0, 46.0, -8.0, 34.0, 19.0, 14.0],  # shoulders
    ]
)
HEAD_PARTS = torch.tensor(
    [
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
CHIN = 3
LAYERS = {"body": 2, "back": 1, "hair": 3, "head": 10}  # ellipsoids in each
OUTLINED = 12  # the nose comes last and leaves the outline alone
PIVOT = torch.tensor([0.0, 8.0, 8.0])  # the point of the head that stays where it is on screen
COLUMNS = torch.arange(SIZE, dtype=torch.float32) - 31.5
ROWS = torch.arange(SIZE, dtype=torch.float32) - 32.5
X, Y = COLUMNS.repeat(SIZE), ROWS.repeat_interleave(SIZE)
MONOMIALS = torch.stack([torch.ones_like(X), X, Y, X * X, X * Y, Y * Y])  # (6, 64 * 64)
EYE_X, EYE_HALF_WIDTH = 9.2, 4.8
LENS_Z = 19.5  # the plane of the spectacle lenses
DEGREE = math.pi / 180
CHUNK = 16  # faces drawn together: few enough for the processor's cache
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


KEY = 0.85  # strength of the lamp
WRAP = torch.tensor([0.40, 0.25, 0.20]).view(3, 1, 1)
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
    """What the camera sees of some melted ellipsoids, each field of shape (n, 64, 64)."""

    depth: Tensor
    normal: tuple[Tensor, Tensor, Tensor]
    inside: Tensor  # signed distance to the outline in pixels, positive within


def _rotation(yaw: Tensor, pitch: Tensor) -> Tensor:
    """Nod, then turn: head to camera, (n, 3, 3)."""
    cy, sy, cp, sp = yaw.cos(), yaw.sin(), pitch.cos(), pitch.sin()
    rows = [cy, sy * sp, sy * cp, torch.zeros_like(yaw), cp, -sp, -sy, cy * sp, cy * cp]
    return torch.stack(rows, -1).view(-1, 3, 3)


def _see(parts: Tensor, rotation: Tensor, melt: float = 1.6) -> dict[str, Surface]:
    """Look at ellipsoids (n, e, 6) that turn by rotations (n, e, 3, 3) about the pivot.

    In the camera's frame an ellipsoid is p' M p = 1 with M = R diag(1/r²) R'. Eliminating z leaves
    the outline, a quadratic form q(x, y) = 1 with matrix [[a, b], [b, c]], and the nearer depth
    z = l(x, y) + sqrt(d), d = (1 - q) / M_zz, with l linear. Polynomials are rows of coefficients,
    so matrix products draw them, and sum slopes over the parts of a layer.
    """
    centre = ((parts[..., :3] - PIVOT)[..., None, :] @ rotation.mT).squeeze(-2) + PIVOT
    m = (rotation / parts[..., None, 3:] ** 2) @ rotation.mT
    cx, cy, cz = centre.unbind(-1)
    zz = m[..., 2, 2]
    lx, ly = -m[..., 0, 2] / zz, -m[..., 1, 2] / zz
    a, b, c = m[..., 0, 0] - zz * lx**2, m[..., 0, 1] - zz * lx * ly, m[..., 1, 1] - zz * ly**2
    px, py = -(a * cx + b * cy), -(b * cx + c * cy)  # half the gradient of q, at (0, 0)
    q = torch.stack([-(px * cx + py * cy), 2 * px, 2 * py, a, 2 * b, c], -1)
    gradient = [px**2 + py**2, 2 * (px * a + py * b), 2 * (px * b + py * c)]
    gradient += [a**2 + b**2, 2 * b * (a + c), b**2 + c**2]  # its square, everywhere
    line = torch.stack([cz - lx * cx - ly * cy, lx, ly], -1) @ MONOMIALS[:3]
    d = (torch.eye(6)[0] - q) / zz[..., None] @ MONOMIALS
    inside = torch.stack(gradient, -1)[:, :OUTLINED] @ MONOMIALS

    # In place from here on: fetching fresh memory costs more than the arithmetic.
    q = (d[:, :OUTLINED] * -zz[:, :OUTLINED, None]).add_(1).clamp_(min=1e-4)
    inside.clamp_(min=1e-7).reciprocal_().mul_(q).sqrt_().mul_(q.sqrt_().neg_().add_(1))
    inside.mul_(2).clamp_(-30, 30).exp_()
    steep = d.clamp(min=0.3).rsqrt_()
    # Outside its outline an ellipsoid sinks out of sight; exp(-60) is still a normal number.
    line.addcdiv_(torch.ones(1), steep).add_(d.clamp_(max=0)).mul_(1 / melt).clamp_(min=-60)
    weight = line.exp_()
    steep.mul_(weight)

    flat = torch.stack([torch.ones_like(lx), lx, ly], 1)
    bent = torch.stack([px, a, b, py, b, c], 1) / zz[:, None]
    surfaces, start = {}, 0
    for layer, count in LAYERS.items():
        e = slice(start, start + count)
        total, down_x, down_y = (flat[..., e] @ weight[:, e]).unbind(1)
        sx, sxx, sxy, sy, syx, syy = (bent[..., e] @ steep[:, e]).unbind(1)
        slope_x = (sx + sxx * X + sxy * Y - down_x) / total
        slope_y = (sy + syx * X + syy * Y - down_y) / total
        nz = (1 + slope_x * slope_x + slope_y * slope_y).rsqrt_()
        seen = [total.log_() * melt, slope_x * nz, slope_y * nz, nz, inside[:, e].sum(1).log_() / 2]
        depth, *normal, outline = (field.unflatten(-1, (SIZE, SIZE)) for field in seen)
        surfaces[layer] = Surface(depth, tuple(normal), outline)
        start += count
    return surfaces


def _head_coordinates(depth: Tensor, rotation: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The points seen at these depths, in the head's own coordinates, each (n, 64, 64)."""
    depth = depth.flatten(1)
    camera = torch.stack([X.expand_as(depth), Y.expand_as(depth), depth], 1).sub_(PIVOT[:, None])
    points = (rotation.mT @ camera).add_(PIVOT[:, None])
    return points.unflatten(-1, (SIZE, SIZE)).unbind(1)


def _shade(albedo: Tensor, surface: Surface, lamp: Tensor, gloss: float) -> Tensor:
    """Lit by a lamp, a pale sky and a little bounce; red light wraps furthest around the edge."""
    nx, ny, nz = surface.normal
    facing = lamp[:, 0] * nx + lamp[:, 1] * ny + lamp[:, 2] * nz
    light = (facing[:, None] * (KEY / (1 + WRAP)) + KEY * WRAP / (1 + WRAP)).clamp_(min=0)
    light += (0.30 - 0.10 * ny)[:, None]
    shine = ((facing + nz) / (2 + 2 * lamp[:, 2]).sqrt()).clamp_(min=0)  # Blinn's halfway vector
    for _ in range(3):
        shine = shine * shine
    return light.mul_(albedo).add_(gloss * shine[:, None])


def _strands(across: Tensor) -> Tensor:
    return 1 + 0.10 * torch.cos(21 * across) + 0.06 * torch.cos(47 * across)


# The wall is brightest behind the head; the hair behind the neck darkens downwards.
WALL = 1.05 - 0.40 * ((COLUMNS / 40) ** 2 + ((ROWS[:, None] + 6) / 44) ** 2)
BACK_STRANDS = _strands(COLUMNS / 20) * (0.55 - 0.006 * ROWS[:, None])


def _hair_parts(f: dict[str, Tensor]) -> Tensor:
    """The mass behind the neck, the cap and two side locks, (n, 4, 6)."""
    length, width = f["hair_length"][:, :, 0], f["face_width"][:, :, 0]
    none = 0 * length
    bottom = -2 + 38 * length
    volume = 18.4 + 2.6 * length
    back = [none, bottom / 2 - 12, none - 12, (17 + 5 * length) * width, bottom / 2 + 14]
    cap = [none, none - 9.5, none - 6, volume * width, volume + 1.2, volume + 4.2]
    parts = [*back, none + 10, *cap]
    for side in (-1, 1):
        parts += [side * (15.5 + 2 * length) * width, bottom / 2 - 6, -3 + none]
        parts += [1.5 + 4 * length, bottom / 2 + 7, 5 + 5 * length]
    return torch.cat(parts, 1).view(-1, 4, 6)


def _head_parts(f: dict[str, Tensor]) -> Tensor:
    parts = HEAD_PARTS.repeat(len(f["yaw"]), 1, 1)
    parts[..., 0::3] *= f["face_width"]
    parts[:, CHIN, 1] += 2.5 * f["mouth_opening"].flatten()
    return parts


def _skin_colour(f: dict[str, Tensor]) -> Tensor:
    """Skin in warm lamp light, exposed as a photographer would: longer for darker skin."""
    tone = f["skin_tone"]
    return _along(SKIN_PATH, tone.flatten()) * WARMTH * (0.9 + 1.7 * tone[:, None] ** 3)


def _paint_skin(skin: Tensor, x: Tensor, y: Tensor, f: dict[str, Tensor]) -> Tensor:
    """Skin with flushed cheeks and nose, nostrils, and the shade of the hair above."""
    side = x.abs()
    flush = _blob(side - 10.5, y - 9.5 + f["smile"], 5.5, 4.5) + 0.6 * _blob(x, y - 9.5, 3.5, 3)
    skin = skin * (1 - flush[:, None] * BLUSH)
    dark = 0.5 * _blob(side - 1.8, y - 12.1, 1.2, 0.9) + 0.12 * _blob(x, y - 13, 4, 1.2)
    dark += (
        0.35 * (_opening(x / f["face_width"], y) / 2.5).clamp_(max=0).exp_() * (-y / 6).clamp(0, 1)
    )
    return skin.mul_((1 - dark)[:, None])


def _opening(x: Tensor, y: Tensor) -> Tensor:
    """Distance outside the oval that the hair leaves free."""
    return 16 * ((x / 16) ** 2 + ((y - 5) / 20.5) ** 2).sqrt_() - 16


def _paint_eyes(skin: Tensor, x: Tensor, y: Tensor, f: dict[str, Tensor]) -> None:
    side = x.abs()
    u = side - EYE_X  # outwards from the middle of either eye
    v = y + 0.10 * u
    arch = 1 - (u / EYE_HALF_WIDTH) ** 2
    lower = 1.8 * arch
    upper = lower - (0.05 + 5.6 * f["eye_opening"] * arch.clamp(min=0))
    skin.mul_((1 - 0.20 * _blob(u, v + 1.5, 5.5, 3.5))[:, None])
    ball = _between(v, upper, lower)
    _over(skin, SCLERA, ball * (0.6 + 0.2 * (v - upper)).clamp_(max=0.95))
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


def _paint_mouth(skin: Tensor, x: Tensor, y: Tensor, f: dict[str, Tensor]) -> None:
    smile, gap = f["smile"], f["mouth_opening"]
    half = 6.2 + 1.8 * smile - 0.5 * gap
    along = (x / half) ** 2
    arch = (1 - along).clamp_(min=0)
    line = 17.2 - 3.2 * smile * (along.clamp(max=1.3) - 0.45)
    top = line - 1.0 * gap * arch
    bottom = line + 5.2 * gap * arch
    bow = top - arch * (1.7 - 0.5 * _blob(x, 0 * x, 1.5, 1.0))
    _over(skin, skin * LIP_STAIN, _between(y, bow, bottom + 2.2 * arch))
    skin.mul_((1 - 0.25 * _between(y, bow, top))[:, None])  # the upper lip looks down
    inner = _between(y, top, bottom)
    _over(skin, MOUTH, inner)
    _over(skin, TEETH, inner * _soft(top + 1.3 + 0.9 * smile - y))
    seam = _between(y, top - 0.4, top + 0.4) * _soft(half - x.abs())
    _over(skin, MOUTH, 0.75 * seam * (1 - 0.7 * gap))


def _paint_glasses(picture: Tensor, f: dict[str, Tensor], rotation: Tensor) -> None:
    """Rims and lenses on a plane before the eyes, bent back a little at the temples."""
    r, rows = rotation[..., None, None], ROWS[:, None] - PIVOT[1]
    bend = 0.0
    for _ in range(2):
        ahead = LENS_Z - bend - PIVOT[2]
        depth = (ahead - r[:, 0, 2] * COLUMNS - r[:, 1, 2] * rows) / r[:, 2, 2] + PIVOT[2]
        x, y, _ = _head_coordinates(depth, rotation)
        bend = 0.012 * x.clamp(-17, 17) ** 2
    side = x.abs()
    u, v = (side - EYE_X - 0.2) / 6.7, (y - 0.5) / 5.3
    u, v = u * u, v * v
    inside = 6 * (1 - (u * u + v * v + 1e-6).sqrt_().sqrt_())
    on = f["glasses"]
    glint = _soft(0.8 - (side - EYE_X + 0.8 * y - 5).abs()) * _soft(inside - 1.0)
    _over(picture, LENS, on * (0.07 * _soft(inside) + 0.22 * glint))
    bow = 0.05 * x * x
    bridge = _between(y, bow - 1.6, bow - 0.3) * _soft(2.8 - side)
    rim = torch.maximum(_soft(0.7 - inside.abs()), bridge)
    _over(picture, FRAME * (1.1 - 0.06 * y)[:, None], on * rim)


def _draw(factors: Tensor) -> Tensor:
    """Factors (n, k) to light intensities (n, 3, 64, 64), painted from the back to the front."""
    f = {factor.name: factors[:, i, None, None] for i, factor in enumerate(FACTORS)}
    yaw, pitch, azimuth = (factors[:, i] * DEGREE for i in range(3))
    turned, torso = _rotation(yaw, pitch), _rotation(0.25 * yaw, 0 * pitch)
    lamp = torch.stack([azimuth.sin(), 0 * azimuth - 0.6, azimuth.cos()], 1)[..., None, None]
    lamp /= math.hypot(1, 0.6)
    hair_colour = _along(HAIR_PATH, f["hair_colour"].flatten())
    parts = torch.cat([BODY_PARTS.expand(len(f["yaw"]), -1, -1), _hair_parts(f), _head_parts(f)], 1)
    rotation = turned[:, None].repeat(1, parts.shape[1], 1, 1)
    rotation[:, : LAYERS["body"]] = torso[:, None]
    seen = _see(parts, rotation)
    body, back, hair, head = (seen[layer] for layer in LAYERS)

    picture = _along(HUE_PATH, f["background_hue"].flatten() / 280) * WALL
    _over(picture, hair_colour * BACK_STRANDS, _soft(back.inside))

    _, y, _ = _head_coordinates(body.depth, torso)
    skin = _skin_colour(f)
    collar = _soft(y - 28.5 + 0.03 * COLUMNS**2)
    cloth = torch.lerp(skin, CLOTH, collar[:, None])
    shadow = 1 - 0.55 * torch.exp(head.inside.clamp(-30, 0) / 5)
    _over(picture, _shade(cloth, body, lamp, 0.0).mul_(shadow[:, None]), _soft(body.inside))

    x, y, z = _head_coordinates(hair.depth, turned)
    parted = torch.where(z > 0, _soft(_opening(x / f["face_width"], y)), 1.0)
    parted *= _soft(1.5 * (hair.depth - head.depth) * (hair.normal[2] + 0.2))
    strands = _strands(x / (x * x + (z + 6) ** 2 + 1).sqrt_())
    locks = _shade(hair_colour * strands[:, None], hair, lamp, 0.05)
    covers = _soft(hair.inside)
    _over(picture, locks, covers)

    x, y, z = _head_coordinates(head.depth, turned)
    skin = _paint_skin(skin, x, y, f)
    high, low = slice(8, 52), slice(36, 64)
    _paint_eyes(skin[:, :, high], x[:, high], y[:, high], f)
    _paint_brows(skin[:, :, high], x[:, high], y[:, high], f, hair_colour)
    _paint_mouth(skin[:, :, low], x[:, low], y[:, low], f)
    arm = _between(y, -1.6 + 0 * y, -0.4 + 0 * y) * _soft(x.abs() - 14) * _soft(z + 2)
    _over(skin, FRAME, arm * f["glasses"])
    _over(picture, _shade(skin, head, lamp, 0.05), _soft(head.inside))
    _over(picture, locks, covers * parted)  # what hangs before the head

    _paint_glasses(picture, f, turned)
    return picture


def render(factors: np.ndarray) -> np.ndarray:
    """Draw the faces with these factors.

    Parameters
    ----------
    factors : array, shape (k,) or (n, k)
        One column per entry of ``FACTORS``, in its order and within its ranges.

    Returns
    -------
    ndarray of uint8, shape (64, 64, 3) or (n, 64, 64, 3)
        RGB, a function of the factors alone.

    Raises
    ------
    InputError
        If the number of factors is wrong, or one is not a number or out of its range.
    """
    try:
        table = np.asarray(factors, dtype=np.float32)
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
    with torch.inference_mode():
        for start in range(0, len(rows), CHUNK):
            light = _draw(torch.from_numpy(rows[start : start + CHUNK]))
            grey = (light.clamp(0, 1).sqrt() * 255 + 0.5).to(torch.uint8)
            images[start : start + CHUNK] = grey.permute(0, 2, 3, 1).numpy()
    return images.reshape(*table.shape[:-1], SIZE, SIZE, 3)


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


def synthetic_faces(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw faces from independent, uniform factors.

    Parameters
    ----------
    n : int
        How many faces. The first m of n faces are the same for every n.
    seed : int
        The same seed gives the same faces on every machine, to within one grey level.

    Returns
    -------
    images : ndarray of uint8, shape (n, 64, 64, 3)
    factors : ndarray of float32, shape (n, k)
        The columns follow ``FACTORS``.

    Raises
    ------
    InputError
        If ``n`` is not a whole number above zero.
    """
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise InputError(f"Asked for {n!r} faces; expected a whole number, 1 or more.")
    factors = draw_factors(n, seed)
    return render(factors), factors


def draw_factors(n: int, seed: int) -> np.ndarray:
    """Factors of n faces, float32 (n, k): independent, and uniform over their ranges.

    Drawn row by row, so that fewer faces are the first of more.
    """
    uniform = np.random.Generator(np.random.PCG64(seed)).random((n, len(FACTORS)))
    low, high = (np.array([getattr(f, end) for f in FACTORS]) for end in ("low", "high"))
    position = np.where([f.binary for f in FACTORS], uniform >= 0.5, uniform)
    return (low + (high - low) * position).astype(np.float32)
