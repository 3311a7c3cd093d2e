"""``proxyd service``: an instance as a service of this machine. ``contract`` says what a manager can do.

Which manager there is, the operating-system seam knows; nothing here asks for the system.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxyd.service.contract import ServiceManager


def manager() -> "ServiceManager":
    """The service manager of this system. Raises ServiceError where proxyd cannot speak to it."""
    # Not above: the process of a service imports as little as it can before it answers its manager.
    from proxyd.service.contract import ServiceError
    from proxyd.system import native

    try:
        found: ServiceManager = importlib.import_module(f"{__name__}.{native.SERVICE_MANAGER}")
    except ImportError as error:
        raise ServiceError(f"proxyd: services of {native.SERVICE_MANAGER} need more: {error}") from None
    return found
