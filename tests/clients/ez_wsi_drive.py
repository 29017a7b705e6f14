"""Run by EZ-WSI DICOMweb's own Python: reads a slide through it, and prints what came."""

import hashlib
import io
import json
import sys

from ez_wsi_dicomweb import credential_factory, dicom_slide, dicom_store, dicom_web_interface
from ez_wsi_dicomweb.ml_toolkit import dicom_path

url, token, study, series = sys.argv[1:]
credentials = credential_factory.TokenPassthroughCredentialFactory(token)
web = dicom_web_interface.DicomWebInterface(credentials)
path = dicom_path.FromString(f"{url}/studies/{study}/series/{series}")
slide = dicom_slide.DicomSlide(web, path, pixel_spacing_diff_tolerance=1)
level = slide.native_level
instance = next(iter(level.instance_iterator))
instance_path = instance.dicom_object.path

downloaded = io.BytesIO()
web.download_instance_untranscoded(instance_path, downloaded)
frames = web.download_instance_frame_list_untranscoded(instance_path, [1, 2, 3])
patch = slide.get_patch(level, 100, 120, 300, 200).image_bytes()
store = dicom_store.DicomStore(url, credential_factory=credentials)

json.dump(
    {
        "columns": slide.total_pixel_matrix_columns,
        "rows": slide.total_pixel_matrix_rows,
        "levels": len(list(slide.levels)),
        "studies": len(web.get_studies(dicom_path.FromString(url))),
        "series": len(web.get_series(dicom_path.FromString(f"{url}/studies/{study}"))),
        "icc_profile": hashlib.sha256(slide.get_icc_profile_bytes()).hexdigest(),
        "instance": hashlib.sha256(downloaded.getvalue()).hexdigest(),
        "instance_uid": instance_path.instance_uid,
        "frames": [hashlib.sha256(frame).hexdigest() for frame in frames],
        "patch": patch.reshape(-1, 3).mean(axis=0).tolist(),
        "patch_shape": list(patch.shape),
        "store": store.dicomstore_path,
    },
    sys.stdout,
)
