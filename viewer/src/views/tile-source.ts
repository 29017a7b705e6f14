/** Frames of a slide as tiles of OpenLayers, decoded and colour-managed by the browser itself. */

import ImageTileSource from "ol/source/ImageTile.js";
import TileGrid from "ol/tilegrid/TileGrid.js";
import type Projection from "ol/proj/Projection.js";
import type { DicomWebClient } from "../dicom/client";
import { Failure, isAbort } from "../dicom/failure";
import type { Slide } from "../dicom/slide";
import { iccSegments, isJpeg, withColour } from "../jpeg";
import { gridOf, preferSharp, type Level } from "../pyramid";
import { Scheduler } from "../scheduler";

export interface TileHooks {
  /** Whether a tile is in view now: level index, column, row. */
  readonly wanted: (z: number, x: number, y: number) => boolean;
  readonly failed: (failure: unknown) => void;
}

/** The profile is awaited by each tile before it is decoded: the frames travel meanwhile. */
export function tileSource(
  client: DicomWebClient,
  slide: Slide,
  profile: Promise<Uint8Array>,
  projection: Projection,
  scheduler: Scheduler,
  hooks: TileHooks,
): ImageTileSource {
  const grid = gridOf(slide.levels);
  const frames = new FrameReader(client, slide, profile);
  return new ImageTileSource({
    projection,
    wrapX: false,
    transition: 120,
    interpolate: true,
    zDirection: preferSharp(window.devicePixelRatio || 1),
    tileGrid: new TileGrid({
      extent: grid.extent,
      origin: [0, 0],
      resolutions: grid.resolutions,
      tileSizes: grid.tileSizes,
    }),
    loader: async (z, x, y, { signal }) => {
      const level = slide.levels[z];
      const frame = level?.frame(x, y);
      if (level === undefined || frame === undefined) return blank();
      try {
        return await scheduler.add(
          (own) => frames.read(level, frame, own),
          () => hooks.wanted(z, x, y),
          signal,
        );
      } catch (error) {
        if (!isAbort(error)) hooks.failed(error);
        throw error;
      }
    },
  });
}

/** A sparse level has no frame where nothing was scanned: the background shows. */
function blank(): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  return canvas;
}

class FrameReader {
  /** Levels whose stored frames a browser cannot read; the server draws these. */
  private readonly drawnByServer = new Set<string>();
  private readonly segments: Promise<Uint8Array<ArrayBuffer>>;

  constructor(
    private readonly client: DicomWebClient,
    private readonly slide: Slide,
    profile: Promise<Uint8Array>,
  ) {
    // Without its profile a slide is still worth looking at; the panel says that it is missing.
    this.segments = profile.then(iccSegments, () => new Uint8Array(0));
    for (const level of slide.levels) {
      // MONOCHROME1 is inverted and MONOCHROME2 windowed; a browser knows neither.
      if (level.photometric.startsWith("MONOCHROME")) this.drawnByServer.add(level.instance);
    }
  }

  async read(level: Level, frame: number, signal: AbortSignal): Promise<ImageBitmap> {
    const path = { ...this.slide.path, instance: level.instance };
    if (!this.drawnByServer.has(level.instance)) {
      try {
        return await this.decode(level, await this.client.jpegFrame(path, frame, signal));
      } catch (error) {
        if (!isUndecodable(error)) throw error;
        this.drawnByServer.add(level.instance);
      }
    }
    return createImageBitmap(await this.client.renderedFrame(path, frame, signal));
  }

  private async decode(level: Level, bytes: Uint8Array<ArrayBuffer>): Promise<ImageBitmap> {
    if (!isJpeg(bytes)) throw new Failure("unacceptable", "The frame is no JPEG stream.");
    const facts = { rgb: level.photometric === "RGB", icc: await this.segments };
    return createImageBitmap(new Blob(withColour(bytes, facts), { type: "image/jpeg" }));
  }
}

/** Not JPEG by the server's word (406), by its first bytes, or by the decoder's (12 bit, lossless). */
function isUndecodable(error: unknown): boolean {
  if (error instanceof Failure) return error.kind === "unacceptable";
  return error instanceof DOMException && error.name === "InvalidStateError";
}
