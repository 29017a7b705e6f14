/** From what people type to the query keys of QIDO-RS (PS3.18 §8.3.4, PS3.4 §C.2.2.2.4). */

import type { Parameters } from "./dicom/client";

export interface Terms {
  readonly patient: string;
  readonly accession: string;
  readonly container: string;
  readonly stain: string;
}

export const NO_TERMS: Terms = { patient: "", accession: "", container: "", stain: "" };

const CONTENT =
  "SpecimenDescriptionSequence.SpecimenPreparationSequence" +
  ".SpecimenPreparationStepContentItemSequence";
const STAIN_TEXT = `${CONTENT}.TextValue`;
const STAIN_CODE = `${CONTENT}.ConceptCodeSequence.CodeMeaning`;
const HAEMATOXYLIN_EOSIN = /^(h\s*(&|\+|and|-|\/)?\s*e|ha?ematoxylin.*eosin)$/i;

export function isEmpty(terms: Terms): boolean {
  return Object.values(terms).every((term) => term.trim() === "");
}

/**
 * The searches that together answer the terms; a study that any of them finds is a match. QIDO-RS
 * joins its keys by "and" only, so what may match either of two attributes takes two searches.
 */
export function searches(terms: Terms): Parameters[] {
  const fixed: [string, string][] = [];
  if (terms.accession.trim()) fixed.push(["AccessionNumber", contains(terms.accession)]);
  if (terms.container.trim()) fixed.push(["ContainerIdentifier", contains(terms.container)]);
  return product(alternatives(terms.patient, patientKeys), alternatives(terms.stain, stainKeys)).map(
    (keys) => [["ModalitiesInStudy", "SM"], ...fixed, ...keys],
  );
}

type Key = [string, string];

function alternatives(term: string, keys: (term: string) => Key[]): Key[][] {
  return term.trim() === "" ? [[]] : keys(term.trim()).map((key) => [key]);
}

function product(one: Key[][], other: Key[][]): Key[][] {
  return one.flatMap((left) => other.map((right) => [...left, ...right]));
}

/** "Jane Doe" and "Doe, Jane" are searched as the components that PN is written in. */
function patientKeys(term: string): Key[] {
  const reversed = /^([^,]+),\s*(.+)$/.exec(term);
  const words = term.split(/\s+/);
  const name = reversed
    ? `${reversed[1]}^${reversed[2]}`
    : words.length === 2
      ? `${words[1]}^${words[0]}`
      : term;
  const keys: Key[] = [
    ["PatientName", contains(name)],
    ["PatientID", contains(term)],
  ];
  // "van Dyck" is one family name of two words.
  if (name !== term && !reversed) keys.push(["PatientName", contains(term)]);
  return keys;
}

function stainKeys(term: string): Key[] {
  if (HAEMATOXYLIN_EOSIN.test(term)) {
    return [
      [STAIN_CODE, "*eosin*"],
      [STAIN_TEXT, contains(term)],
    ];
  }
  return [
    [STAIN_CODE, eitherCase(term)],
    [STAIN_TEXT, eitherCase(term)],
  ];
}

function contains(term: string): string {
  const trimmed = term.trim();
  return /[*?]/.test(trimmed) ? trimmed : `*${trimmed}*`;
}

/** Only person names match without regard to case; a first letter of either kind is let through. */
function eitherCase(term: string): string {
  return /[*?]/.test(term) || !/^\p{L}/u.test(term) ? contains(term) : `*?${[...term].slice(1).join("")}*`;
}
