/** A client of the event feed. */
import type { ClientReadableStream, StatusObject } from '@grpc/grpc-js';
import {
  type EventFeedServiceClient,
  type RecordedEvent,
  WatchEventsRequest,
  type WatchEventsResponse,
} from '../../../src/gen/tallyback/feed/v1/event_feed_service.ts';
import type { WatchOptions } from '../../../src/gen/tallyback/common/v1/watch.ts';
import { type Failure, failureOf, until } from './server.ts';

export class Feeding {
  readonly messages: WatchEventsResponse[] = [];
  readonly call: ClientReadableStream<WatchEventsResponse>;
  /** The last token, and how many events had come with it. */
  token = '';
  ended: Failure | undefined;

  constructor(
    client: EventFeedServiceClient,
    options: {
      types?: string[];
      fromBeginning?: boolean;
      paused?: boolean;
      watch?: Partial<WatchOptions>;
    } = {},
  ) {
    const { types = [], fromBeginning = true, paused, watch = {} } = options;
    this.call = client.watchEvents(WatchEventsRequest.fromPartial({ types, fromBeginning, options: watch }));
    this.call.on('error', () => undefined);
    this.call.on('status', (status: StatusObject) => {
      this.ended = failureOf(status);
    });
    // A grpc-js client that never began to read takes everything; one that stops after the first message does not.
    if (paused) this.call.once('data', () => this.call.pause());
    this.call.on('data', (message: WatchEventsResponse) => {
      this.messages.push(message);
      this.token = message.header?.resumeToken || this.token;
    });
  }

  get events(): readonly RecordedEvent[] {
    return this.batches.flat();
  }

  get ids(): readonly string[] {
    return this.events.map(({ id }) => id);
  }

  /** Of each message of changes. */
  get batches(): readonly (readonly RecordedEvent[])[] {
    return this.messages.flatMap(({ event }) => (event?.$case === 'changes' ? [event.value.events] : []));
  }

  /** The grammar's words so far. */
  get words(): string[] {
    return this.messages.map(({ event }) => event?.$case ?? 'nothing');
  }

  get sequence(): readonly number[] {
    return this.messages.map(({ header }) => Number(header?.sequence));
  }

  caughtUp(): Promise<void> {
    return until(() => this.words.includes('caughtUp'));
  }

  /** Breaks the stream off. What it has shown until then is all that it will show. */
  async stop(): Promise<this> {
    this.call.cancel();
    await until(() => this.ended !== undefined);
    return this;
  }
}
