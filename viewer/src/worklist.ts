/** The cases of a worklist with their slides, put together from QIDO-RS answers. */

import type { DicomWebClient, Parameters, SeriesPath } from "./dicom/client";
import { TAG, number, text, type Dataset } from "./dicom/json";
import { factsOf, type Facts } from "./dicom/slide";
import { searches, type Terms } from "./search";

export const PAGE_SIZE = 20;
const MOST_SLIDES = 500;

export interface CaseSlide {
  readonly path: SeriesPath;
  readonly facts: Facts;
  readonly number: number;
}

export interface Case {
  readonly study: string;
  readonly facts: Facts;
  readonly description: string;
  readonly slides: readonly CaseSlide[];
}

export interface CasePage {
  readonly cases: readonly Case[];
  readonly more: boolean;
}

const STUDY_FIELDS = ["StudyDescription", "PatientBirthDate", "PatientSex"].join(",");
const SLIDE_FIELDS = ["ContainerIdentifier", "SpecimenDescriptionSequence", "SeriesNumber"].join(",");

/** One page of cases; `known` are left out, as several searches may find the same study. */
export async function findCases(
  client: DicomWebClient,
  terms: Terms,
  offset: number,
  known: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<CasePage> {
  const paging: Parameters = [
    ["includefield", STUDY_FIELDS],
    ["limit", String(PAGE_SIZE)],
    ["offset", String(offset)],
  ];
  const answers = await Promise.all(
    searches(terms).map((keys) => client.search("/studies", [...keys, ...paging], signal)),
  );
  const studies = new Map<string, Dataset>();
  for (const study of answers.flat()) {
    const uid = text(study, TAG.StudyInstanceUID);
    if (uid && !known.has(uid) && !studies.has(uid)) studies.set(uid, study);
  }
  const slides = await slidesOf(client, [...studies.keys()], signal);
  const cases = [...studies].map(([study, dataset]) => ({
    study,
    facts: factsOf(dataset),
    description: text(dataset, TAG.StudyDescription),
    slides: slides.filter((slide) => slide.path.study === study),
  }));
  return { cases, more: answers.some((answer) => answer.length === PAGE_SIZE) };
}

/** The slides of several cases in one search: a list of UIDs is one key (PS3.4 §C.2.2.2.2). */
export async function slidesOf(
  client: DicomWebClient,
  studies: readonly string[],
  signal: AbortSignal,
): Promise<CaseSlide[]> {
  if (studies.length === 0) return [];
  const found = await client.search(
    "/series",
    [
      ["Modality", "SM"],
      ["StudyInstanceUID", studies.join(",")],
      ["includefield", SLIDE_FIELDS],
      ["limit", String(MOST_SLIDES)],
    ],
    signal,
  );
  return found
    .map((series) => ({
      path: {
        study: text(series, TAG.StudyInstanceUID) || (studies.length === 1 ? studies[0]! : ""),
        series: text(series, TAG.SeriesInstanceUID),
      },
      facts: factsOf(series),
      number: number(series, TAG.SeriesNumber) ?? 0,
    }))
    .filter((slide) => slide.path.study && slide.path.series)
    .sort(
      (one, other) =>
        one.number - other.number || one.facts.container.localeCompare(other.facts.container),
    );
}
