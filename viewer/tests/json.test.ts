import { describe, expect, test } from "vitest";
import { TAG, inlineBytes, isoDate, item, number, numbers, personName, text } from "../src/dicom/json";
import { stains } from "../src/dicom/specimen";
import { profileName } from "../src/dicom/slide";

describe("DICOM JSON", () => {
  test("absent, empty and odd elements read as nothing", () => {
    expect(text({}, TAG.PatientID)).toBe("");
    expect(text({ [TAG.PatientID]: { vr: "LO" } }, TAG.PatientID)).toBe("");
    expect(text({ [TAG.PatientID]: { vr: "LO", Value: [null] } }, TAG.PatientID)).toBe("");
    expect(number({ [TAG.Rows]: { vr: "US", Value: ["many"] } }, TAG.Rows)).toBeUndefined();
    expect(item({ [TAG.OpticalPathSequence]: { vr: "SQ", Value: [null] } }, TAG.OpticalPathSequence)).toBeUndefined();
  });

  test("decimal strings may come as numbers or as text", () => {
    expect(numbers({ [TAG.PixelSpacing]: { vr: "DS", Value: ["0.00025", 0.0005] } }, TAG.PixelSpacing)).toEqual([
      0.00025, 0.0005,
    ]);
  });

  test("a person's name is written as people write it", () => {
    const named = (name: unknown) => ({ [TAG.PatientName]: { vr: "PN", Value: [name] } });
    expect(personName(named({ Alphabetic: "Doe^Jane^Ann^Dr^MD" }), TAG.PatientName)).toBe("Dr Jane Ann Doe, MD");
    expect(personName(named({ Ideographic: "山田^太郎" }), TAG.PatientName)).toBe("太郎 山田");
    expect(personName(named("Doe"), TAG.PatientName)).toBe("");
  });

  test("the date that means unknown is no date", () => {
    expect(isoDate("20261124120000")).toBe("2026-11-24");
    expect(isoDate("19000101000000")).toBe("");
    expect(isoDate("soon")).toBe("");
  });

  test("inline bytes are base64, and nothing where they are not", () => {
    expect(inlineBytes({ vr: "OB", InlineBinary: "AQID" })).toEqual(Uint8Array.of(1, 2, 3));
    expect(inlineBytes({ vr: "OB", InlineBinary: "%%%" })).toBeUndefined();
  });
});

describe("stains", () => {
  const code = (value: string, meaning: string) => ({
    [TAG.CodeValue]: { vr: "SH", Value: [value] },
    [TAG.CodeMeaning]: { vr: "LO", Value: [meaning] },
  });
  const content = (name: string, value: object) => ({
    [TAG.ConceptNameCodeSequence]: { vr: "SQ", Value: [code(name, "")] },
    ...value,
  });
  const coded = (value: string, meaning: string) => ({
    [TAG.ConceptCodeSequence]: { vr: "SQ", Value: [code(value, meaning)] },
  });
  const slide = (...contents: object[][]) => ({
    [TAG.SpecimenDescriptionSequence]: {
      vr: "SQ",
      Value: [
        {
          [TAG.SpecimenPreparationSequence]: {
            vr: "SQ",
            Value: contents.map((one) => ({
              [TAG.SpecimenPreparationStepContentItemSequence]: { vr: "SQ", Value: one },
            })),
          },
        },
      ],
    },
  });

  test("haematoxylin and eosin are H&E", () => {
    const step = [
      content("111701", coded("127790008", "Staining")),
      content("424361007", coded("12710003", "Hematoxylin stain")),
      content("424361007", coded("36879007", "Water soluble eosin stain")),
    ];
    expect(stains(slide(step))).toEqual(["H&E"]);
  });

  test("a stain may be given as text", () => {
    const step = [
      content("111701", coded("127790008", "Staining")),
      content("424361007", { [TAG.TextValue]: { vr: "UT", Value: ["Ki-67"] } }),
    ];
    expect(stains(slide(step))).toEqual(["Ki-67"]);
  });

  test("what the tissue was fixed in is no stain", () => {
    const fixing = [
      content("111701", coded("17636008", "Specimen collection")),
      content("424361007", coded("431510009", "Formalin")),
    ];
    expect(stains(slide(fixing))).toEqual([]);
  });
});

describe("the name of an ICC profile", () => {
  function profile(description: Uint8Array): Uint8Array {
    const bytes = new Uint8Array(144 + description.length);
    const view = new DataView(bytes.buffer);
    view.setUint32(128, 1);
    view.setUint32(132, 0x64657363);
    view.setUint32(136, 144);
    view.setUint32(140, description.length);
    bytes.set(description, 144);
    return bytes;
  }

  test("is read from a description of version 2", () => {
    const name = "ScanScope v1";
    const tag = new Uint8Array(12 + name.length + 1);
    tag.set(new TextEncoder().encode("desc"));
    new DataView(tag.buffer).setUint32(8, name.length + 1);
    tag.set(new TextEncoder().encode(name), 12);
    expect(profileName(profile(tag))).toBe(name);
  });

  test("is read from a description of version 4", () => {
    const tag = new Uint8Array(28 + 8);
    tag.set(new TextEncoder().encode("mluc"));
    const view = new DataView(tag.buffer);
    view.setUint32(20, 8);
    view.setUint32(24, 28);
    [..."sRGB"].forEach((character, index) => view.setUint16(28 + 2 * index, character.charCodeAt(0)));
    expect(profileName(profile(tag))).toBe("sRGB");
  });

  test("is left open where offsets lead out of the profile", () => {
    const bytes = profile(new Uint8Array(4));
    new DataView(bytes.buffer).setUint32(136, 4_000_000);
    expect(profileName(bytes)).toBe("embedded");
  });
});
