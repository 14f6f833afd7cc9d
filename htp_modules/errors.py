"""Errors of the library: each is an :class:`HTPError` and also the builtin that a caller would expect."""


class HTPError(Exception):
    """Base of every error raised by ``htp_modules`` and ``adapters``."""


class ShapeError(HTPError, ValueError):
    """A tensor has another rank or size than the module was built for."""


class DtypeError(HTPError, TypeError):
    """A tensor or an argument has another type than asked for."""


class ConfigError(HTPError, ValueError):
    """An option lies outside its range."""


class NonFiniteError(HTPError, ValueError):
    """Tokens that frames are selected by hold NaN or infinity."""


class MaskError(HTPError, ValueError):
    """A temporal mask, or the kept frames, break an invariant or lie on another device."""


class ConflictError(HTPError, ImportError):
    """Another distribution that is installed stands in the way."""
