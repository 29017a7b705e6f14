"""A slide file becomes DICOM files. A leaf: knows nothing of the archive.

Importing this package loads no slide library; those are loaded in the child process that
`run_conversion` starts.
"""

from conversion.child import run_conversion
from conversion.errors import ConversionError
from conversion.limits import ConversionLimits
from conversion.manifest import Manifest, ManifestInstance, Role, Route
from conversion.request import ConversionRequest

__all__ = [
    "ConversionError",
    "ConversionLimits",
    "ConversionRequest",
    "Manifest",
    "ManifestInstance",
    "Role",
    "Route",
    "run_conversion",
]
