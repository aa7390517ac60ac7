/** Methods as the generated code describes them, and the types of calls that follow from that. */
import type { BinaryWriter } from '@bufbuild/protobuf/wire';

/** A message as the generated code has it; of any kind, what is put in comes from its own `fromPartial`. */
interface MessageType<T extends object> {
  encode(message: T): BinaryWriter;
  decode(input: Uint8Array): T;
  fromPartial(object: object): T;
}

export interface Method<Request extends object = object, Response extends object = object> {
  readonly name: string;
  readonly requestType: MessageType<Request>;
  readonly requestStream: boolean;
  readonly responseType: MessageType<Response>;
  readonly responseStream: boolean;
  /** `idempotencyLevel`: whether the contract allows to repeat a call whose outcome is not known. */
  readonly options: { readonly idempotencyLevel?: string };
}

export interface Service {
  readonly fullName: string;
  readonly methods: Readonly<Record<string, Method>>;
}

/** What is given as a request: fields that are left out have their default. */
export type RequestOf<M extends Method> = Parameters<M['requestType']['fromPartial']>[0];
export type ResponseOf<M extends Method> = ReturnType<M['responseType']['decode']>;

/** For one call. */
export interface CallOptions {
  /** Milliseconds for the call with all its repeats; default: that of the connection. */
  readonly deadlineMs?: number;
  /** Ends the call, which then rejects with the signal's reason. What a command has done by then stays done. */
  readonly signal?: AbortSignal;
  /** Whether the answer must show what this session has done; default: as the session. */
  readonly readYourWrites?: boolean;
  /** Also what policies did because of it, such as an order's rebate; default: as the session. */
  readonly includingEffects?: boolean;
}

type IsUnary<M> = M extends { readonly requestStream: false; readonly responseStream: false } ? true : false;

/** The methods of a service that answer once, as promises. They reject with TallybackError. */
export type UnaryMethods<S extends Service> = {
  readonly [K in keyof S['methods'] as IsUnary<S['methods'][K]> extends true ? K : never]: (
    request: RequestOf<S['methods'][K]>,
    options?: CallOptions,
  ) => Promise<ResponseOf<S['methods'][K]>>;
};

export type Invoke = (
  path: string,
  method: Method,
  request: object,
  options: CallOptions | undefined,
) => Promise<object>;

export const pathOf = ({ fullName }: Service, { name }: Method): string => `/${fullName}/${name}`;

export function unaryMethods<S extends Service>(service: S, invoke: Invoke): UnaryMethods<S> {
  const methods = Object.entries(service.methods)
    .filter(([, { requestStream, responseStream }]) => !requestStream && !responseStream)
    .map(([key, method]) => {
      const path = pathOf(service, method);
      return [key, (request: object, options?: CallOptions) => invoke(path, method, request, options)];
    });
  return Object.fromEntries(methods) as UnaryMethods<S>;
}
