/** A watch as it is served: over gRPC, and to browsers as an event stream. */
import type { BoundMethod, Method, Rpc } from '../handler.ts';
import { decoderOf } from '../handler.ts';
import type { Waiting } from '../queries/consistency.ts';
import type { Transport, WatchCounts } from './counts.ts';
import type { Outlet } from './outlet.ts';
import type { Places } from './places.ts';
import { watch, type WatchParts, type WatchPlan } from './watch.ts';

/** Who watches, whatever the way. */
export interface Viewer extends Outlet, Waiting {
  /** Host of the client's end of the connection. */
  readonly client: string;
  readonly transport: Transport;
}

export interface WatchMethod extends BoundMethod {
  /**
   * Reads an encoded request and gives what runs its watch, until the viewer's ending, or its own.
   * Throws ApiError for a request that breaks the rules; nothing has happened then.
   */
  readonly prepare: (request: Uint8Array) => (viewer: Viewer) => Promise<void>;
  readonly counts: WatchCounts;
}

/** `planOf` makes a request a plan once its watch may begin; it rejects with ApiError if the request is not one to be served. */
export function watchMethod<Req, Res>(
  rpc: Rpc,
  method: Method<Req, Res, false, true>,
  parts: WatchParts & { readonly places: Places },
  planOf: (request: Req, viewer: Viewer) => Promise<WatchPlan>,
): WatchMethod {
  const decode = decoderOf(method);
  const { counts, places } = parts;
  /** In a place, and counted, from the request to the end. Of a watch that goes on, this is all that is suspended. */
  const serve = async (request: Req, viewer: Viewer): Promise<void> => {
    const { transport, client, ending } = viewer;
    counts.open[transport].enter();
    try {
      places.enter(client);
      try {
        await watch(parts, await planOf(request, viewer), viewer);
      } finally {
        places.leave(client);
      }
    } catch (error) {
      counts.end(error, ending);
      throw error;
    } finally {
      counts.open[transport].leave();
    }
  };
  return {
    ...rpc.serverStream(method, serve),
    counts,
    prepare(bytes) {
      const request = decode(bytes);
      return (viewer) => serve(request, viewer);
    },
  };
}
