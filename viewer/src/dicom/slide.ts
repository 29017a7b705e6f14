/** A slide as the page shows it, made of the metadata of its series. */

import { levelOf, pyramidOf, roleOf, type Level } from "../pyramid";
import { scaleOf, type Scale } from "../magnification";
import type { DicomWebClient, InstancePath, SeriesPath } from "./client";
import { Failure } from "./failure";
import {
  TAG,
  inlineBytes,
  isoDate,
  item,
  items,
  number,
  numbers,
  personName,
  text,
  type Dataset,
} from "./json";
import { specimenDescriptions, specimenIdentifiers, stains } from "./specimen";

export interface Slide {
  readonly path: SeriesPath;
  /** From the smallest to the base. */
  readonly levels: readonly Level[];
  readonly base: Level;
  readonly scale: Scale;
  readonly objective: number | undefined;
  readonly label: InstancePath | undefined;
  readonly facts: Facts;
  /** The base level's dataset. */
  readonly dataset: Dataset;
}

export interface Facts {
  readonly patient: string;
  readonly patientId: string;
  readonly birthDate: string;
  readonly sex: string;
  readonly accession: string;
  readonly caseId: string;
  readonly date: string;
  readonly container: string;
  readonly specimens: readonly string[];
  readonly descriptions: readonly string[];
  readonly stains: readonly string[];
  readonly scanner: string;
  readonly scanned: string;
}

/** @throws {@link Failure} where the series holds no slide that can be shown. */
export function slideOf(path: SeriesPath, instances: readonly Dataset[]): Slide {
  const levels = pyramidOf(instances);
  const base = levels.at(-1);
  const dataset = instances.find((one) => text(one, TAG.SOPInstanceUID) === base?.instance);
  if (base === undefined || dataset === undefined) {
    throw new Failure("not-found", "This series holds no whole-slide image that can be shown.");
  }
  const label = instances.find((one) => roleOf(one) === "LABEL" && levelOf(one) !== undefined);
  const objective = objectiveOf(dataset);
  return {
    path,
    levels,
    base,
    dataset,
    objective,
    scale: scaleOf(spacingMm(dataset), objective),
    label: label && { ...path, instance: text(label, TAG.SOPInstanceUID) },
    facts: factsOf(dataset),
  };
}

export function factsOf(dataset: Dataset): Facts {
  const maker = text(dataset, TAG.Manufacturer);
  const model = text(dataset, TAG.ManufacturerModelName);
  const scanner = [maker, model].filter((name) => name && name !== "Unknown");
  return {
    patient: personName(dataset, TAG.PatientName),
    patientId: text(dataset, TAG.PatientID),
    birthDate: isoDate(text(dataset, TAG.PatientBirthDate)),
    sex: text(dataset, TAG.PatientSex),
    accession: text(dataset, TAG.AccessionNumber),
    caseId: text(dataset, TAG.StudyID),
    date: isoDate(text(dataset, TAG.StudyDate)),
    container: text(dataset, TAG.ContainerIdentifier),
    specimens: specimenIdentifiers(dataset),
    descriptions: specimenDescriptions(dataset),
    stains: stains(dataset),
    scanner: [...new Set(scanner)].join(" "),
    scanned: isoDate(text(dataset, TAG.AcquisitionDateTime)),
  };
}

/** Distance between columns in mm, of the shared functional groups (PS3.3 §C.7.6.16.2.1). */
function spacingMm(dataset: Dataset): number | undefined {
  const shared = item(dataset, TAG.SharedFunctionalGroupsSequence);
  const spacing = numbers(item(shared, TAG.PixelMeasuresSequence), TAG.PixelSpacing);
  return spacing[1] ?? spacing[0];
}

function objectiveOf(dataset: Dataset): number | undefined {
  return items(dataset, TAG.OpticalPathSequence)
    .map((path) => number(path, TAG.ObjectiveLensPower))
    .find((power) => power !== undefined && power > 0);
}

export interface Profile {
  /** Empty where the tiles are sRGB, which is what a browser takes untagged pictures for. */
  readonly bytes: Uint8Array;
  /** What it is called, for people; "" when there is none. */
  readonly name: string;
}

/** The ICC profile of the first optical path (PS3.3 §C.11.15). */
export async function profileOf(
  client: DicomWebClient,
  slide: Slide,
  signal: AbortSignal,
): Promise<Profile> {
  const path = item(slide.dataset, TAG.OpticalPathSequence);
  const element = path?.[TAG.ICCProfile];
  if (text(path, TAG.ColorSpace) === "SRGB") return { bytes: new Uint8Array(0), name: "sRGB" };
  const bytes =
    inlineBytes(element) ??
    (element?.BulkDataURI ? await client.bulkData(element.BulkDataURI, signal) : undefined);
  if (bytes === undefined || bytes.length < 132) return { bytes: new Uint8Array(0), name: "" };
  const sized = withoutPadding(bytes);
  return { bytes: sized, name: profileName(sized) };
}

/** The profile says its own length; DICOM pads it to an even one (ICC.1 §7.2.2). */
function withoutPadding(bytes: Uint8Array): Uint8Array {
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
  return length >= 132 && length <= bytes.length ? bytes.subarray(0, length) : bytes;
}

/** The text of the profile's description tag (ICC.1 §9.2.41), version 2 or 4. */
export function profileName(bytes: Uint8Array): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  try {
    const count = Math.min(view.getUint32(128), 100);
    for (let index = 0; index < count; index++) {
      const entry = 132 + index * 12;
      if (view.getUint32(entry) !== 0x64657363) continue; // 'desc'
      return described(view, view.getUint32(entry + 4)) || "embedded";
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // offsets beyond the profile
  }
  return "embedded";
}

function described(view: DataView, at: number): string {
  const bytes = (start: number, length: number) =>
    new Uint8Array(view.buffer, view.byteOffset + start, Math.min(length, 160));
  if (view.getUint32(at) === 0x6d6c7563) {
    // 'mluc': the first record's length and offset, UTF-16
    const text = new TextDecoder("utf-16be").decode(
      bytes(at + view.getUint32(at + 24), view.getUint32(at + 20)),
    );
    return text.replace(/\0.*$/s, "").trim();
  }
  const text = new TextDecoder("latin1").decode(bytes(at + 12, view.getUint32(at + 8)));
  return text.replace(/\0.*$/s, "").trim();
}
