/** A client that watches a leaderboard, and shows it as its messages say. */
import type { ClientReadableStream, StatusObject } from '@grpc/grpc-js';
import type { WatchOptions } from '../../../src/gen/tallyback/common/v1/watch.ts';
import { RemovalReason } from '../../../src/gen/tallyback/common/v1/watch.ts';
import {
  Board,
  type FiguresQueryServiceClient,
  type LeaderboardRow,
  WatchLeaderboardRequest,
  type WatchLeaderboardResponse,
} from '../../../src/gen/tallyback/figures/v1/figures_query_service.ts';
import { type Failure, failureOf, until } from './server.ts';

export interface BoardOptions {
  readonly board?: Board;
  readonly merchant?: string;
  readonly month?: string;
  readonly limit?: number;
  readonly atLeast?: string;
  readonly paused?: boolean;
  readonly watch?: Partial<WatchOptions>;
  /** Called after every message has been taken in. */
  readonly onMessage?: (message: WatchLeaderboardResponse) => void;
}

export class BoardWatch {
  readonly messages: WatchLeaderboardResponse[] = [];
  readonly call: ClientReadableStream<WatchLeaderboardResponse>;
  /** What is shown, and what is being put together beside it. */
  #shown = new Map<string, LeaderboardRow>();
  #next: Map<string, LeaderboardRow> | undefined;
  ended: Failure | undefined;

  constructor(client: FiguresQueryServiceClient, options: BoardOptions = {}) {
    const { board = Board.MEMBERS_BY_REBATE, merchant = 'shop', month = '', limit = 0 } = options;
    const { atLeast = '', paused, watch = {}, onMessage } = options;
    this.call = client.watchLeaderboard(
      WatchLeaderboardRequest.fromPartial({
        board,
        merchant,
        month,
        limit,
        consistency: { atLeast },
        options: watch,
      }),
    );
    this.call.on('error', () => undefined);
    this.call.on('status', (status: StatusObject) => {
      this.ended = failureOf(status);
    });
    // A grpc-js client that never began to read takes everything; one that stops after the first message does not.
    if (paused) this.call.once('data', () => this.call.pause());
    this.call.on('data', (message: WatchLeaderboardResponse) => {
      this.messages.push(message);
      this.#takeIn(message);
      onMessage?.(message);
    });
  }

  #takeIn({ event }: WatchLeaderboardResponse): void {
    if (event?.$case === 'snapshotStarted') this.#next = new Map();
    if (event?.$case === 'snapshotCompleted') {
      this.#shown = this.#next ?? this.#shown;
      this.#next = undefined;
    }
    if (event?.$case !== 'changes') return;
    const rows = this.#next ?? this.#shown;
    const key = ({ subject, currency }: { subject: string; currency: string }) => `${subject} ${currency}`;
    for (const removal of event.value.removals) {
      if (removal.reason !== RemovalReason.LEFT_FILTER) throw new Error('nobody is ever deleted');
      rows.delete(key(removal));
    }
    for (const row of event.value.rows) rows.set(key(row), row);
  }

  /** The board as it is shown, by rank. */
  get rows(): readonly LeaderboardRow[] {
    return [...this.#shown.values()].toSorted((a, b) => a.rank - b.rank);
  }

  /** Short: "1 ann 70". */
  get places(): readonly string[] {
    return this.rows.map(({ rank, subject, score }) => `${rank} ${subject} ${score}`);
  }

  /** The grammar's words so far. */
  get words(): string[] {
    return this.messages.map(({ event }) => event?.$case ?? 'nothing');
  }

  get sequence(): readonly number[] {
    return this.messages.map(({ header }) => Number(header?.sequence));
  }

  get token(): string {
    return this.messages.findLast(({ header }) => header?.resumeToken)?.header?.resumeToken ?? '';
  }

  caughtUp(): Promise<void> {
    return until(() => this.words.includes('caughtUp'));
  }

  async stop(): Promise<this> {
    this.call.cancel();
    await until(() => this.ended !== undefined);
    return this;
  }
}
