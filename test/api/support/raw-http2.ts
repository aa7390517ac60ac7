/** A client that is none: HTTP/2 by hand, for what a gRPC library does not let one do. */
import { once } from 'node:events';
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from 'node:http2';

/** A gRPC message as it is on the wire. */
export const frame = (message: Uint8Array, compressed = false): Buffer => {
  const prefix = Buffer.alloc(5);
  prefix[0] = compressed ? 1 : 0;
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
};

export interface RawEnd {
  /** As in the trailers (or headers); undefined: the stream ended without. */
  readonly status: string | undefined;
  readonly message: string | undefined;
  readonly rstCode: number;
}

export class RawConnection {
  readonly session: ClientHttp2Session;

  private constructor(session: ClientHttp2Session) {
    this.session = session;
  }

  static async to(address: string): Promise<RawConnection> {
    const session = connect(`http://${address}`);
    session.on('error', () => undefined);
    await once(session, 'connect');
    return new RawConnection(session);
  }

  /** Only the headers; the stream stays open for what is to follow. */
  open(path: string, headers: Record<string, string> = {}): ClientHttp2Stream {
    const stream = this.session.request(
      {
        [constants.HTTP2_HEADER_METHOD]: 'POST',
        [constants.HTTP2_HEADER_PATH]: path,
        'content-type': 'application/grpc',
        te: 'trailers',
        ...headers,
      },
      { endStream: false },
    );
    stream.on('error', () => undefined);
    return stream;
  }

  close(): void {
    this.session.destroy();
  }
}

/** How a stream ends; reads whatever comes before. */
export function endOf(stream: ClientHttp2Stream): Promise<RawEnd> {
  return new Promise((resolve) => {
    let last: Record<string, unknown> = {};
    stream.on('response', (headers) => (last = headers));
    stream.on('trailers', (headers) => (last = headers));
    stream.on('close', () => {
      const text = (name: string): string | undefined => {
        const value = last[name];
        return typeof value === 'string' ? value : undefined;
      };
      resolve({
        status: text('grpc-status'),
        message: text('grpc-message'),
        rstCode: stream.rstCode ?? 0,
      });
    });
    stream.resume();
  });
}
