"""Every class of Foley world by name, in the order of its kinds."""

from tasks.demo.world.classes.base import FoleyClass
from tasks.demo.world.classes.dropped import BOUNCE, DRIP, FOOTSTEP
from tasks.demo.world.classes.flowing import POURING, SAWING, SIREN
from tasks.demo.world.classes.played import KEY_PRESS, PLUCK
from tasks.demo.world.classes.struck import CLAPPING, DRUM, HAMMER
from tasks.demo.world.classes.textures import CROWD, FIRE, RAIN, WIND
from tasks.demo.world.classes.turning import ENGINE, FAN, WHEEL

CLASSES: dict[str, FoleyClass] = {
    foley.name: foley
    for foley in (
        BOUNCE,
        HAMMER,
        DRUM,
        DRIP,
        FOOTSTEP,
        CLAPPING,
        KEY_PRESS,
        PLUCK,
        ENGINE,
        WHEEL,
        SIREN,
        FAN,
        POURING,
        SAWING,
        RAIN,
        FIRE,
        WIND,
        CROWD,
    )
}

__all__ = ["CLASSES", "FoleyClass"]
