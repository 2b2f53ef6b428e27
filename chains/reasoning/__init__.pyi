from .strategies import LONG as LONG
