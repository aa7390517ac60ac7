/** From a request of the contract to a command of the domain. Shared by the unary calls and Ingest. */
import { hash } from 'node:crypto';
import type { AggregateCommand, CommandRequest } from '../../application/commands.ts';
import type { CommandReceipt } from '../../gen/tallyback/common/v1/command.ts';
import type { Method } from '../handler.ts';

export interface HasRequestId {
  requestId: string;
}

export interface HasReceipt {
  receipt: CommandReceipt | undefined;
}

export interface CommandMapping<Req extends HasRequestId> {
  /** The unary call; its path names the kind of request in the content's hash. */
  readonly method: Method<Req, HasReceipt>;
  readonly type: { encode(request: Req): { finish(): Uint8Array } };
  /** `now` stands in for a business time that was left out. */
  toCommand(request: Req, now: () => Date): AggregateCommand;
}

/** Has the compiler check a mapping. */
export const mapping = <Req extends HasRequestId>(m: CommandMapping<Req>): CommandMapping<Req> => m;

/**
 * Names what was asked, without the request id: the first 132 bits of SHA-256 over the method and the request as
 * we encode it (so not over fields unknown to us, nor over the order in which a client wrote them).
 */
export function contentHash<Req extends HasRequestId>(
  { method, type }: CommandMapping<Req>,
  request: Req,
): string {
  const content = type.encode({ ...request, requestId: '' }).finish();
  const named = Buffer.allocUnsafe(method.path.length + 1 + content.length);
  named.write(method.path, 0, 'latin1');
  named[method.path.length] = 0;
  named.set(content, method.path.length + 1);
  return hash('sha256', named, 'base64url').slice(0, 22);
}

/** The command of a request that has been validated. */
export const commandRequest = <Req extends HasRequestId>(
  of: CommandMapping<Req>,
  request: Req,
  now: () => Date,
): CommandRequest => ({
  ...of.toCommand(request, now),
  requestId: request.requestId.toLowerCase(),
  contentHash: contentHash(of, request),
});
