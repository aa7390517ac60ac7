/** A client of any watch: what came, and whether it may come like that. */
import type { ClientReadableStream, StatusObject } from '@grpc/grpc-js';
import type { WatchHeader } from '../../../src/gen/tallyback/common/v1/watch.ts';
import { failureOf, type Failure, until } from './server.ts';

interface WatchMessage {
  readonly header: WatchHeader | undefined;
  readonly event?: { readonly $case: string } | undefined;
}

export class Streaming<M extends WatchMessage> {
  readonly messages: M[] = [];
  readonly call: ClientReadableStream<M>;
  ended: Failure | undefined;

  constructor(call: ClientReadableStream<M>, options: { readonly paused?: boolean } = {}) {
    this.call = call;
    call.on('error', () => undefined);
    call.on('status', (status: StatusObject) => (this.ended = failureOf(status)));
    if (options.paused) call.once('data', () => call.pause());
    call.on('data', (message: M) => this.messages.push(message));
  }

  get words(): string[] {
    return this.messages.map(({ event }) => event?.$case ?? 'nothing');
  }

  /** Of the last message that has one. */
  get resumeToken(): string {
    return this.messages.findLast(({ header }) => header?.resumeToken)?.header?.resumeToken ?? '';
  }

  caughtUp(): Promise<void> {
    return until(() => this.words.includes('caughtUp'));
  }
}

/** What is wrong with the headers: sequences without gaps from 1, and the server's time in all. */
export function headerFaults(messages: readonly WatchMessage[]): string[] {
  return messages.flatMap(({ header }, n) => [
    ...(header?.sequence === BigInt(n + 1) ? [] : [`message ${n + 1} has number ${header?.sequence}`]),
    ...(header?.serverTime instanceof Date ? [] : [`message ${n + 1} has no time`]),
  ]);
}
