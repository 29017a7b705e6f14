/**
 * Giving a slide file to the archive: the one private route, as DICOMweb has no words for a slide
 * that is not DICOM yet. Left out where the server does not offer it.
 */

import { Failure, kindOfStatus } from "./dicom/failure";
import { send } from "./dicom/client";
import { getToken } from "./dicom/token";

const POLL_MS = 1000;

export interface SlideJob {
  readonly id: string;
  readonly state: string;
  readonly progress: number;
  readonly error: string;
}

/** Send a form with a file; `progress` is told the fraction sent. */
export function upload(
  apiUrl: string,
  form: FormData,
  progress: (fraction: number) => void,
  signal: AbortSignal,
): Promise<SlideJob> {
  // fetch does not tell how much of a body has gone out.
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `${apiUrl}/slides`);
    const token = getToken();
    if (token) request.setRequestHeader("Authorization", `Bearer ${token}`);
    request.upload.onprogress = ({ loaded, total }) => progress(total > 0 ? loaded / total : 0);
    request.onerror = () => reject(new Failure("offline", "The archive does not answer."));
    request.onload = () => {
      const document = parsed(request.responseText);
      if (request.status < 300) resolve(readJob(document));
      else reject(new Failure(kindOfStatus(request.status), `The archive answered ${request.status}.`, detail(document)));
    };
    signal.addEventListener("abort", () => {
      request.abort();
      reject(new DOMException("given up", "AbortError"));
    });
    request.send(form);
  });
}

/** Follow a job to its end; `progress` is told how far the conversion is. */
export async function follow(
  apiUrl: string,
  job: SlideJob,
  progress: (fraction: number) => void,
  signal: AbortSignal,
): Promise<SlideJob> {
  let now = job;
  while (now.state !== "stored" && now.state !== "failed") {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    signal.throwIfAborted();
    const response = await send(`${apiUrl}/slides/${encodeURIComponent(job.id)}`, { signal });
    now = readJob(await response.json());
    progress(now.progress);
  }
  return now;
}

export function readJob(document: unknown): SlideJob {
  const { id, state, progress, error } = (document ?? {}) as Record<string, unknown>;
  return {
    id: String(id ?? ""),
    state: String(state ?? ""),
    progress: typeof progress === "number" ? progress : 0,
    error: typeof error === "string" ? error : "",
  };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // the status says enough
  }
}

function detail(document: unknown): string {
  const said = (document as { detail?: unknown } | undefined)?.detail;
  return typeof said === "string" ? said : "";
}
