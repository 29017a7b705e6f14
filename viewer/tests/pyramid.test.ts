import { expect, test } from "vitest";
import { TAG, type Dataset } from "../src/dicom/json";
import { gridOf, levelOf, preferSharp, pyramidOf } from "../src/pyramid";

interface Given {
  role?: string;
  columns: number;
  rows: number;
  tile?: number;
  uid?: string;
  more?: Dataset;
}

function instance({ role = "VOLUME", columns, rows, tile = 256, uid = `1.${columns}`, more = {} }: Given): Dataset {
  const one = (vr: string, value: unknown) => ({ vr, Value: [value] });
  return {
    [TAG.ImageType]: { vr: "CS", Value: ["ORIGINAL", "PRIMARY", role, "NONE"] },
    [TAG.SOPInstanceUID]: one("UI", uid),
    [TAG.Rows]: one("US", tile),
    [TAG.Columns]: one("US", tile),
    [TAG.TotalPixelMatrixColumns]: one("UL", columns),
    [TAG.TotalPixelMatrixRows]: one("UL", rows),
    [TAG.PhotometricInterpretation]: one("CS", "YBR_FULL_422"),
    ...more,
  };
}

test("frames of a full level go along its rows, one-based", () => {
  const level = levelOf(instance({ columns: 1000, rows: 600 }))!;
  expect(level.frame(0, 0)).toBe(1);
  expect(level.frame(3, 0)).toBe(4);
  expect(level.frame(0, 1)).toBe(5);
  expect(level.frame(3, 2)).toBe(12);
});

test("there is no frame beyond the matrix", () => {
  const level = levelOf(instance({ columns: 1000, rows: 600 }))!;
  expect([level.frame(4, 0), level.frame(0, 3), level.frame(-1, 0)]).toEqual([undefined, undefined, undefined]);
});

test("frames of a sparse level lie where they say", () => {
  const at = (left: number, top: number) => ({
    [TAG.PlanePositionSlideSequence]: {
      vr: "SQ",
      Value: [
        {
          [TAG.ColumnPositionInTotalImagePixelMatrix]: { vr: "SL", Value: [left] },
          [TAG.RowPositionInTotalImagePixelMatrix]: { vr: "SL", Value: [top] },
        },
      ],
    },
  });
  const more = {
    [TAG.DimensionOrganizationType]: { vr: "CS", Value: ["TILED_SPARSE"] },
    [TAG.PerFrameFunctionalGroupsSequence]: { vr: "SQ", Value: [at(257, 257), at(1, 1), at(257, 257)] },
  };
  const level = levelOf(instance({ columns: 512, rows: 512, more }))!;
  expect(level.frame(0, 0)).toBe(2);
  expect(level.frame(1, 1)).toBe(1); // of two planes the first
  expect(level.frame(1, 0)).toBeUndefined();
});

test("levels are sorted, and each size is there once", () => {
  const levels = pyramidOf([
    instance({ columns: 4000, rows: 3000 }),
    instance({ columns: 1000, rows: 750 }),
    instance({ columns: 4000, rows: 3000, uid: "1.2.3" }),
    instance({ role: "LABEL", columns: 400, rows: 400 }),
  ]);
  expect(levels.map((level) => level.columns)).toEqual([1000, 4000]);
  expect(levels.at(-1)?.instance).toBe("1.4000");
});

test("a thumbnail is the smallest level when it shows the same field", () => {
  const base = instance({ columns: 2220, rows: 2967 });
  const same = instance({ role: "THUMBNAIL", columns: 574, rows: 768, tile: 768 });
  const other = instance({ role: "THUMBNAIL", columns: 900, rows: 300, tile: 900 });
  expect(pyramidOf([base, same]).map((level) => level.columns)).toEqual([574, 2220]);
  expect(pyramidOf([base, other]).map((level) => level.columns)).toEqual([2220]);
});

test("a series without a volume has no pyramid", () => {
  expect(pyramidOf([instance({ role: "LABEL", columns: 400, rows: 400 })])).toEqual([]);
});

test("ratios of levels are not rounded", () => {
  const levels = pyramidOf([instance({ columns: 555, rows: 741 }), instance({ columns: 2220, rows: 2967 })]);
  expect(gridOf(levels)).toEqual({
    resolutions: [4, 1],
    tileSizes: [
      [256, 256],
      [256, 256],
    ],
    extent: [0, -2967, 2220, 0],
  });
});

test("the finer of two levels is taken before the coarser gets soft", () => {
  const choose = preferSharp(1);
  expect(choose(3.9, 4, 1)).toBeGreaterThan(0); // coarser
  expect(choose(2, 4, 1)).toBeLessThanOrEqual(0); // finer
  expect(preferSharp(2)(3.9, 4, 2)).toBeLessThanOrEqual(0); // a dense screen wants more
});
