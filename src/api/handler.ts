/**
 * The adapter around every handler. Handlers are async functions of decoded, valid requests; here is everything
 * that must not be left to each of them: a message that does not decode, rules, errors nobody meant (their text
 * never leaves the process), cancellation, and that a rejection can never end the process.
 *
 * gRPC is given the raw bytes in both directions: what a deserialiser throws would become INTERNAL, and messages
 * that go to many clients are encoded once.
 */
import type {
  MethodDefinition,
  sendUnaryData,
  ServerDuplexStream,
  ServerUnaryCall,
  ServerWritableStream,
  UntypedHandleCall,
} from '@grpc/grpc-js';
import { Call, StreamCall } from './call.ts';
import type { Ending } from './ending.ts';
import {
  type ApiError,
  internalError,
  invalidRequest,
  known,
  malformedMessage,
  serverStopping,
  toStatus,
} from './errors.ts';
import type { StopSignal } from './stop-signal.ts';
import { validatorOf } from './validation.ts';

/** A method of a generated service definition. */
export interface Method<Req, Res, Requests extends boolean = false, Responses extends boolean = false> {
  readonly path: string;
  readonly requestStream: Requests;
  readonly responseStream: Responses;
  readonly requestDeserialize: (bytes: Buffer) => Req;
  readonly responseSerialize: (response: Res) => Buffer;
}

export interface BoundMethod {
  readonly definition: MethodDefinition<Buffer, Uint8Array>;
  readonly handler: UntypedHandleCall;
}

export interface RpcOptions {
  readonly stopping: StopSignal;
  readonly log: (line: string) => void;
  readonly newErrorId: () => string;
}

/** A bidirectional call: the requests as raw bytes, checked by the handler one by one. */
export interface Duplex {
  readonly call: StreamCall;
  readonly requests: ServerDuplexStream<Buffer, Uint8Array>;
}

const asBuffer = (bytes: Uint8Array): Buffer =>
  Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** In memory of its own: a slice of the pool keeps all 8 KiB of it for as long as the call lives, and watches live long. */
const ownCopy = (bytes: Buffer): Buffer => asBuffer(new Uint8Array(bytes));

const rawBytes = {
  requestSerialize: asBuffer,
  requestDeserialize: (bytes: Buffer): Buffer => bytes,
  responseSerialize: asBuffer,
  responseDeserialize: (bytes: Buffer): Uint8Array => bytes,
};

const define = (
  method: Pick<MethodDefinition<unknown, unknown>, 'path' | 'requestStream' | 'responseStream'>,
): BoundMethod['definition'] => ({
  path: method.path,
  requestStream: method.requestStream,
  responseStream: method.responseStream,
  ...rawBytes,
});

export class Rpc {
  readonly #options: RpcOptions;

  constructor(options: RpcOptions) {
    this.#options = options;
  }

  /** One request, one answer. */
  unary<Req, Res>(method: Method<Req, Res>, handle: (request: Req, call: Call) => Promise<Res>): BoundMethod {
    const decode = decoderOf(method);
    const answer = async (bytes: Buffer, call: Call): Promise<Buffer> => {
      if (this.#options.stopping.stopped) throw serverStopping();
      return method.responseSerialize(await handle(decode(bytes), call));
    };
    const handler = (raw: ServerUnaryCall<Buffer, Uint8Array>, callback: sendUnaryData<Uint8Array>): void => {
      const call = new Call(raw, this.#options.stopping);
      answer(raw.request, call)
        .then(
          (bytes) => callback(null, bytes, call.trailer),
          (error: unknown) => callback(toStatus(this.explain(error, method.path))),
        )
        .catch((error: unknown) => this.explain(error, method.path))
        .finally(() => call.dispose());
    };
    return { definition: define(method), handler };
  }

  /** One request, a stream of answers. It ends with OK when the promise resolves. */
  serverStream<Req, Res>(
    method: Method<Req, Res, false, true>,
    handle: (request: Req, call: StreamCall) => Promise<void>,
  ): BoundMethod {
    const decode = decoderOf(method);
    const handler = (raw: ServerWritableStream<Buffer, Uint8Array>): void => {
      const call = new StreamCall(raw, this.#options.stopping);
      this.#answer(raw, call, method.path, () => handle(decode(raw.request), call));
    };
    return { definition: { ...define(method), requestDeserialize: ownCopy }, handler };
  }

  /** A stream of requests, a stream of answers. */
  bidi<Req, Res>(
    method: Method<Req, Res, true, true>,
    handle: (duplex: Duplex) => Promise<void>,
  ): BoundMethod {
    const handler = (raw: ServerDuplexStream<Buffer, Uint8Array>): void => {
      const call = new StreamCall(raw, this.#options.stopping);
      this.#answer(raw, call, method.path, () => handle({ call, requests: raw }));
    };
    return { definition: define(method), handler };
  }

  /** The error as the client may see it. One that nobody meant is logged, under an id that the client gets. */
  explain(error: unknown, where: string): ApiError {
    const meant = known(error);
    if (meant) return meant;
    const errorId = this.#options.newErrorId();
    this.#options.log(`${where}: error ${errorId}: ${textOf(error)}`);
    return internalError(errorId);
  }

  /** What a call ends with: what fails because it is over is no failure of its own. */
  conclude(error: unknown, { over }: Ending, where: string): ApiError {
    return this.explain(over && known(error) === undefined ? over : error, where);
  }

  /** Ends the call as `handle` does. Ten thousand of them may last for hours: nothing here is suspended meanwhile. */
  #answer(
    raw: ServerWritableStream<Buffer, Uint8Array> | ServerDuplexStream<Buffer, Uint8Array>,
    call: StreamCall,
    path: string,
    handle: () => Promise<void>,
  ): void {
    const end = (how: () => void): void => {
      try {
        how();
      } catch (error) {
        this.explain(error, path);
      } finally {
        call.dispose();
      }
    };
    const { ending } = call;
    const failed = (error: unknown): void =>
      end(() => {
        // Not destroy(): the client would get no status, and the server could never shut down.
        if (!raw.cancelled) raw.emit('error', toStatus(this.conclude(error, ending, path)));
      });
    try {
      ending.throwIfOver();
      handle().then(() => end(() => raw.end(call.trailer)), failed);
    } catch (error) {
      failed(error);
    }
  }
}

/** Of whatever was thrown, and it may be anything. */
function textOf(error: unknown): string {
  try {
    return error instanceof Error ? (error.stack ?? error.message) : String(error);
  } catch {
    return 'something that cannot be shown';
  }
}

/** Reads a method's requests; throws INVALID_ARGUMENT for those that do not decode or break the rules. */
export function decoderOf<Req>(method: {
  readonly path: string;
  readonly requestDeserialize: (bytes: Buffer) => Req;
}): (bytes: Uint8Array) => Req {
  const validate = validatorOf(method.path);
  return (bytes) => {
    const outcome = validate(bytes);
    if (outcome.kind === 'malformed') throw malformedMessage();
    if (outcome.kind === 'invalid') throw invalidRequest(outcome.violations);
    try {
      return method.requestDeserialize(asBuffer(bytes));
    } catch {
      throw malformedMessage();
    }
  };
}

export interface BoundService {
  /** Full name, such as "tallyback.order.v1.OrderCommandService". */
  readonly name: string;
  readonly methods: Readonly<Record<string, BoundMethod>>;
}

/** All methods of a service; the compiler sees to it that none is missing, and this that none is misplaced. */
export function bindService<S extends Readonly<Record<string, { readonly path: string }>>>(
  definition: S,
  methods: { readonly [K in keyof S]: BoundMethod },
): BoundService {
  const bound: Record<string, BoundMethod> = methods;
  const names = new Set<string>();
  for (const [key, { path }] of Object.entries(definition)) {
    if (bound[key]?.definition.path !== path)
      throw new Error(`${path} is not served, or by another's handler`);
    names.add(path.split('/')[1] ?? '');
  }
  const [name, ...others] = names;
  if (name === undefined || others.length > 0) throw new Error('a service definition names one service');
  return { name, methods: bound };
}
