/** The levels of a slide and where each of their tiles lies; numbers only, no browser. */

import { TAG, item, items, number, text, texts, type Dataset } from "./dicom/json";

export interface Level {
  readonly instance: string;
  /** Size of the total pixel matrix. */
  readonly columns: number;
  readonly rows: number;
  readonly tileColumns: number;
  readonly tileRows: number;
  /** One-based frame number of a tile, undefined where a sparse level has none. */
  readonly frame: (column: number, row: number) => number | undefined;
  readonly photometric: string;
}

/** Aspect ratios that differ by more belong to pictures of different parts of the glass. */
const ASPECT_TOLERANCE = 0.02;

export type Role = "VOLUME" | "THUMBNAIL" | "LABEL" | "OVERVIEW" | "OTHER";

/** What an instance shows, the third value of Image Type (PS3.3 §C.8.12.4.1.1). */
export function roleOf(dataset: Dataset): Role {
  const value = texts(dataset, TAG.ImageType)[2];
  return value === "VOLUME" || value === "THUMBNAIL" || value === "LABEL" || value === "OVERVIEW"
    ? value
    : "OTHER";
}

/** The level that an instance holds; undefined where it does not say how it is tiled. */
export function levelOf(dataset: Dataset): Level | undefined {
  const tileColumns = number(dataset, TAG.Columns) ?? 0;
  const tileRows = number(dataset, TAG.Rows) ?? 0;
  const columns = number(dataset, TAG.TotalPixelMatrixColumns) ?? tileColumns;
  const rows = number(dataset, TAG.TotalPixelMatrixRows) ?? tileRows;
  const instance = text(dataset, TAG.SOPInstanceUID);
  if (!instance || columns < 1 || rows < 1 || tileColumns < 1 || tileRows < 1) return undefined;
  const across = Math.ceil(columns / tileColumns);
  const down = Math.ceil(rows / tileRows);
  const positions = sparsePositions(dataset, tileColumns, tileRows);
  return {
    instance,
    columns,
    rows,
    tileColumns,
    tileRows,
    photometric: text(dataset, TAG.PhotometricInterpretation),
    // TILED_FULL counts along rows, first focal plane and optical path first (PS3.3 §C.7.6.17.3).
    frame: (column, row) => {
      if (column < 0 || row < 0 || column >= across || row >= down) return undefined;
      return positions ? positions.get(row * across + column) : row * across + column + 1;
    },
  };

  function sparsePositions(
    source: Dataset,
    width: number,
    height: number,
  ): Map<number, number> | undefined {
    if (text(source, TAG.DimensionOrganizationType) !== "TILED_SPARSE") return undefined;
    const found = new Map<number, number>();
    items(source, TAG.PerFrameFunctionalGroupsSequence).forEach((group, index) => {
      const position = item(group, TAG.PlanePositionSlideSequence);
      const left = number(position, TAG.ColumnPositionInTotalImagePixelMatrix);
      const top = number(position, TAG.RowPositionInTotalImagePixelMatrix);
      if (left === undefined || top === undefined) return;
      const at = Math.floor((top - 1) / height) * across + Math.floor((left - 1) / width);
      // Of several planes the first is shown.
      if (!found.has(at)) found.set(at, index + 1);
    });
    return found;
  }
}

/**
 * The levels from the smallest to the base. A thumbnail of the same field is one more, so that a
 * slide without small levels need not be put together from all of its tiles.
 */
export function pyramidOf(instances: readonly Dataset[]): Level[] {
  const volumes = levelsOf(instances, "VOLUME");
  const base = volumes.at(-1);
  if (base === undefined) return [];
  const smallest = volumes[0]!;
  const thumbnails = levelsOf(instances, "THUMBNAIL").filter(
    (one) => one.columns < smallest.columns && sameShape(one, base),
  );
  return [...thumbnails.slice(-1), ...volumes];
}

function levelsOf(instances: readonly Dataset[], role: Role): Level[] {
  const bySize = new Map<number, Level>();
  for (const dataset of instances) {
    const level = roleOf(dataset) === role ? levelOf(dataset) : undefined;
    // Other focal planes and optical paths come as further instances of the same size.
    if (level && !bySize.has(level.columns)) bySize.set(level.columns, level);
  }
  return [...bySize.values()].sort((one, other) => one.columns - other.columns);
}

function sameShape(one: Level, other: Level): boolean {
  const ratio = one.columns / one.rows / (other.columns / other.rows);
  return Math.abs(ratio - 1) < ASPECT_TOLERANCE;
}

export interface Grid {
  /** Base pixels a pixel of each level, the largest first; ratios are not rounded. */
  readonly resolutions: number[];
  readonly tileSizes: [number, number][];
  /** Left, bottom, right, top: y grows upwards in OpenLayers, and the slide hangs below zero. */
  readonly extent: [number, number, number, number];
}

export function gridOf(levels: readonly Level[]): Grid {
  const base = levels.at(-1);
  if (base === undefined) throw new RangeError("a pyramid has at least one level");
  return {
    resolutions: levels.map((level) => base.columns / level.columns),
    tileSizes: levels.map((level) => [level.tileColumns, level.tileRows]),
    extent: [0, -base.rows, base.columns, 0],
  };
}

/** How much coarser than the screen a level may be before the next finer one is taken. */
const ACCEPTED_BLUR = 1.35;

/**
 * OpenLayers' choice between two levels around a resolution: above zero takes the coarser.
 * By default it takes the nearest, which on steps of four is soft over most of the range.
 */
export function preferSharp(pixelRatio: number): (value: number, high: number, low: number) => number {
  return (value, high) => (value * ACCEPTED_BLUR) / pixelRatio - high;
}
