/** The dialog in which a slide file is given, with what is known of it. */

import { asFailure, isAbort } from "../dicom/failure";
import { h, ICON } from "../dom";
import { follow, upload } from "../upload";
import { button } from "./zoom-bar";

const FIELDS: readonly (readonly [name: string, label: string, hint: string])[] = [
  ["patient_name", "Patient name", "Family^Given"],
  ["patient_id", "Patient ID", ""],
  ["accession", "Accession", ""],
  ["container_id", "Container", "as on the label"],
  ["stain", "Stain", "H&E"],
];

/** Open the dialog; `stored` is called when the slide is in the archive. */
export function openUpload(apiUrl: string, stored: () => void): void {
  const end = new AbortController();
  const status = h("p", { class: "status", role: "status" });
  const bar = h("progress", { max: 1, value: 0, hidden: true, "aria-label": "Progress" });
  const submit = h("button", { class: "primary", type: "submit" }, "Add slide");
  const form = h(
    "form",
    { class: "upload" },
    h("label", { class: "file" }, "Slide file", h("input", { type: "file", name: "file", required: true })),
    ...FIELDS.map(([name, label, hint]) =>
      h("label", {}, label, h("input", { name, placeholder: hint, autocomplete: "off", maxlength: 64 })),
    ),
    bar,
    status,
    h("div", { class: "actions" }, submit),
  );
  const dialog = h(
    "dialog",
    { class: "sheet", "aria-labelledby": "upload-title" },
    h("header", {}, h("h2", { id: "upload-title" }, "Add a slide"), button("Close", ICON.close, () => dialog.close())),
    h("p", {}, "SVS, NDPI, tiled TIFF or OME-TIFF. The file is converted to DICOM; its tiles pass through unchanged wherever DICOM allows."),
    form,
  );
  const tell = (text: string, fraction?: number): void => {
    status.textContent = text;
    bar.hidden = fraction === undefined;
    if (fraction !== undefined) bar.value = fraction;
  };
  const run = async (): Promise<void> => {
    submit.disabled = true;
    try {
      const job = await upload(apiUrl, new FormData(form), (part) => tell("Sending…", part), end.signal);
      const last = await follow(apiUrl, job, (part) => tell("Converting…", part), end.signal);
      if (last.state === "failed") {
        tell(last.error || "The slide could not be converted.");
        return;
      }
      stored();
      dialog.close();
    } catch (error) {
      if (isAbort(error)) return;
      const { message, detail } = asFailure(error);
      tell(detail || message);
    } finally {
      submit.disabled = false;
      bar.hidden = true;
    }
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void run();
  });
  dialog.addEventListener("close", () => {
    end.abort();
    dialog.remove();
  });
  document.body.append(dialog);
  dialog.showModal();
}
