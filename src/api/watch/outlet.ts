/** Where a watch's messages go: a gRPC stream, or a browser's event stream. */
import type { Ending } from '../ending.ts';

export interface Outlet {
  /** What the watch ends with, when the client has gone or the server stops. */
  readonly ending: Ending;
  /** Sends a whole encoded message. False: the client does not keep up; wait for `room` before the next. */
  write(message: Uint8Array): boolean;
  /** Resolves when the client has taken enough; rejects with the signal's reason. */
  room(signal: AbortSignal): Promise<void>;
  /** Frees all that a client holds that does not read: no more can be said to it but that it was too slow. */
  cutOff(): void;
}
