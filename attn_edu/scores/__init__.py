"""Ways to score: how well a query fits a key, before and beside the scaled dot product."""

from ._cosine import Cosine as Cosine, cosine as cosine
from ._additive import Additive as Additive, additive as additive
from ._location import Location as Location, location as location
from ._general import General as General, general as general
from ._dot import Dot as Dot, dot as dot
from ._concat import Concat as Concat, concat as concat
from ._location_sensitive import LocationSensitive as LocationSensitive, location_sensitive as location_sensitive
from ._deep_voice import DeepVoice as DeepVoice, deep_voice as deep_voice
