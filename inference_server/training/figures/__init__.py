"""Pictures drawn by code: a family of four at dinner, coloured paper figures cut out on black.

Two people sit on chairs at the ends of a table and turn towards it. Two sit behind it and look at us; one of them is a
child. Every picture is a function of a latent vector z. Each component of z moves one thing (see ``knobs``), and
nothing jumps: hats, beards, cups and the cat grow or come up from nothing. So a generator can be trained on pairs of z
and picture, and has directions worth animating. Every part of a figure is bright (luma above 60) and has a dark gap
around it. So a threshold on luma turns any picture into shadows of people; eyes and mouths are holes in them.

``python -m inference_server.training.figures --count 24000 --size 256 --seed 1 --workers 2 --out drawn``
"""

from .dataset import draw_dataset, main
from .knobs import LATENT, PERSON, SCENE, latent
from .scene import contact_sheet, draw_picture, silhouette

__all__ = [
    "LATENT",
    "PERSON",
    "SCENE",
    "contact_sheet",
    "draw_dataset",
    "draw_picture",
    "latent",
    "main",
    "silhouette",
]
