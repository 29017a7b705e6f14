/** What is on the glass: specimens and stains of the Specimen Module (PS3.3 §C.7.6.22). */

import { TAG, item, items, text, type Dataset } from "./json";

/** "Using substance", and "Processing type" with the value "Staining" (PS3.16 TID 8001, 8003). */
const USING_SUBSTANCE = "424361007";
const PROCESSING_TYPE = "111701";
const STAINING = "127790008";

export function specimenIdentifiers(dataset: Dataset): string[] {
  const names = items(dataset, TAG.SpecimenDescriptionSequence)
    .map((one) => text(one, TAG.SpecimenIdentifier))
    .filter(Boolean);
  return [...new Set(names)];
}

export function specimenDescriptions(dataset: Dataset): string[] {
  const said = items(dataset, TAG.SpecimenDescriptionSequence)
    .map((one) => text(one, TAG.SpecimenShortDescription))
    .filter(Boolean);
  return [...new Set(said)];
}

/** Names of the stains, each once, as people say them. */
export function stains(dataset: Dataset): string[] {
  const steps = items(dataset, TAG.SpecimenDescriptionSequence)
    .flatMap((one) => items(one, TAG.SpecimenPreparationSequence))
    .map((step) => items(step, TAG.SpecimenPreparationStepContentItemSequence))
    .filter(isStaining);
  const names = steps.flat().filter(isSubstance).map(valueOf).filter(Boolean);
  return shortened([...new Set(names)]);
}

function nameOf(content: Dataset): string {
  return text(item(content, TAG.ConceptNameCodeSequence), TAG.CodeValue);
}

/** A step that does not say its type is believed to be one: only staining uses coloured substances. */
function isStaining(content: Dataset[]): boolean {
  const types = content.filter((one) => nameOf(one) === PROCESSING_TYPE);
  if (types.length === 0) return true;
  return types.some((one) => {
    const value = item(one, TAG.ConceptCodeSequence);
    return (
      text(value, TAG.CodeValue) === STAINING ||
      text(value, TAG.CodeMeaning).toLowerCase().includes("stain")
    );
  });
}

function isSubstance(content: Dataset): boolean {
  return nameOf(content) === USING_SUBSTANCE;
}

function valueOf(content: Dataset): string {
  const code = item(content, TAG.ConceptCodeSequence);
  return text(code, TAG.CodeMeaning) || text(content, TAG.TextValue);
}

/** Haematoxylin with eosin is what everybody calls H&E. */
function shortened(names: string[]): string[] {
  const haematoxylin = names.find((name) => /\bha?ematoxylin\b/i.test(name));
  const eosin = names.find((name) => /\beosin\b/i.test(name));
  if (haematoxylin === undefined || eosin === undefined) return names;
  return ["H&E", ...names.filter((name) => name !== haematoxylin && name !== eosin)];
}
