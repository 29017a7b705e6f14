"""The Native DICOM Model: data sets as XML (PS3.19 §A.1, PS3.18 §F.3.1), ``application/dicom+xml``.

Both directions have DICOM JSON on the other side, as decoded by a JSON library: a mapping from
eight hexadecimal digits to ``{"vr": …, "Value" | "InlineBinary" | "BulkDataURI": …}`` (PS3.18
Annex F). Nothing else of the archive has to know of XML.
"""

from dicomweb.native_model.names import MEDIA_TYPE, NAMESPACE, Attributes
from dicomweb.native_model.reading import from_xml
from dicomweb.native_model.streaming import document_xml
from dicomweb.native_model.writing import attributes_xml, sequence_xml, to_xml

__all__ = [
    "MEDIA_TYPE",
    "NAMESPACE",
    "Attributes",
    "attributes_xml",
    "document_xml",
    "from_xml",
    "sequence_xml",
    "to_xml",
]
