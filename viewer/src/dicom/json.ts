/**
 * The DICOM JSON Model (PS3.18 Annex F) as it comes over the wire, and safe ways to read it.
 *
 * Nothing here trusts the sender: an element of the wrong kind reads as absent.
 */

export interface Element {
  readonly vr: string;
  readonly Value?: readonly unknown[];
  readonly InlineBinary?: string;
  readonly BulkDataURI?: string;
}

/** Tags, eight upper-case hexadecimal digits, to elements. */
export type Dataset = Readonly<Record<string, Element>>;

/** The attributes that the page reads, by keyword (PS3.6). */
export const TAG = {
  ImageType: "00080008",
  SOPInstanceUID: "00080018",
  StudyDate: "00080020",
  AccessionNumber: "00080050",
  Modality: "00080060",
  Manufacturer: "00080070",
  CodeValue: "00080100",
  CodeMeaning: "00080104",
  StudyDescription: "00081030",
  SeriesDescription: "0008103E",
  ManufacturerModelName: "00081090",
  PatientName: "00100010",
  PatientID: "00100020",
  PatientBirthDate: "00100030",
  PatientSex: "00100040",
  DeviceSerialNumber: "00181000",
  AcquisitionDateTime: "0008002A",
  StudyInstanceUID: "0020000D",
  SeriesInstanceUID: "0020000E",
  StudyID: "00200010",
  SeriesNumber: "00200011",
  DimensionOrganizationType: "00209311",
  PhotometricInterpretation: "00280004",
  NumberOfFrames: "00280008",
  Rows: "00280010",
  Columns: "00280011",
  PixelSpacing: "00280030",
  BitsAllocated: "00280100",
  LossyImageCompressionRatio: "00282112",
  ICCProfile: "00282000",
  ColorSpace: "00282002",
  ContainerIdentifier: "00400512",
  SpecimenIdentifier: "00400551",
  SpecimenDescriptionSequence: "00400560",
  SpecimenShortDescription: "00400600",
  SpecimenPreparationSequence: "00400610",
  SpecimenPreparationStepContentItemSequence: "00400612",
  ConceptNameCodeSequence: "0040A043",
  TextValue: "0040A160",
  ConceptCodeSequence: "0040A168",
  TotalPixelMatrixColumns: "00480006",
  TotalPixelMatrixRows: "00480007",
  OpticalPathSequence: "00480105",
  ObjectiveLensPower: "00480112",
  PlanePositionSlideSequence: "0048021A",
  ColumnPositionInTotalImagePixelMatrix: "0048021E",
  RowPositionInTotalImagePixelMatrix: "0048021F",
  SharedFunctionalGroupsSequence: "52009229",
  PerFrameFunctionalGroupsSequence: "52009230",
  PixelMeasuresSequence: "00289110",
} as const;

function first(dataset: Dataset | undefined, tag: string): unknown {
  return dataset?.[tag]?.Value?.[0];
}

/** First value as text, trimmed; "" when absent. Person names are read with {@link personName}. */
export function text(dataset: Dataset | undefined, tag: string): string {
  const value = first(dataset, tag);
  return typeof value === "string" || typeof value === "number" ? String(value).trim() : "";
}

/** Every value as text, empty ones left out. */
export function texts(dataset: Dataset | undefined, tag: string): string[] {
  const values = dataset?.[tag]?.Value ?? [];
  return values.filter((value): value is string => typeof value === "string" && value !== "");
}

/** First value as a finite number. DS and IS may come as JSON strings (PS3.18 §F.2.3.1). */
export function number(dataset: Dataset | undefined, tag: string): number | undefined {
  return numbers(dataset, tag)[0];
}

export function numbers(dataset: Dataset | undefined, tag: string): number[] {
  return (dataset?.[tag]?.Value ?? [])
    .map((value) => (typeof value === "number" || typeof value === "string" ? Number(value) : NaN))
    .filter((value) => Number.isFinite(value));
}

/** Items of a sequence. */
export function items(dataset: Dataset | undefined, tag: string): Dataset[] {
  const values = dataset?.[tag]?.Value ?? [];
  return values.filter((value): value is Dataset => typeof value === "object" && value !== null);
}

export function item(dataset: Dataset | undefined, tag: string): Dataset | undefined {
  return items(dataset, tag)[0];
}

/** A person's name as people write it: `Doe^Jane^A^Dr` becomes `Dr Jane A Doe` (PS3.5 §6.2.1). */
export function personName(dataset: Dataset | undefined, tag: string): string {
  const value = first(dataset, tag);
  if (typeof value !== "object" || value === null) return "";
  const groups = value as { Alphabetic?: unknown; Ideographic?: unknown; Phonetic?: unknown };
  for (const group of [groups.Alphabetic, groups.Ideographic, groups.Phonetic]) {
    if (typeof group !== "string" || group.trim() === "") continue;
    const [family = "", given = "", middle = "", prefix = "", suffix = ""] = group
      .split("^")
      .map((part) => part.trim());
    const name = [prefix, given, middle, family].filter(Boolean).join(" ");
    return suffix ? `${name}, ${suffix}` : name;
  }
  return "";
}

/** A DA or DT value as an ISO date; "" when it is none, or the 1900-01-01 that means unknown. */
export function isoDate(value: string): string {
  const found = /^(\d{4})(\d{2})(\d{2})/.exec(value);
  if (!found || value.startsWith("19000101")) return "";
  return `${found[1]}-${found[2]}-${found[3]}`;
}

/** Bytes of an InlineBinary. */
export function inlineBytes(element: Element | undefined): Uint8Array | undefined {
  if (typeof element?.InlineBinary !== "string") return undefined;
  try {
    return Uint8Array.from(atob(element.InlineBinary), (character) => character.charCodeAt(0));
  } catch {
    return undefined; // not base64: as good as absent
  }
}
