/** What the services are made of. */
import type { CommandBus } from '../application/commands.ts';
import type { PositionTokens } from '../application/position-token.ts';
import type { Seal } from '../application/seal.ts';
import type { RefusedRecords } from '../application/refused-records.ts';
import type { EventStore, Position } from '../eventstore/port.ts';
import type { ProjectionOperator } from '../projections/engine/operator.ts';
import type { Progress, ReadModelReader } from '../projections/engine/reading.ts';
import type { Rpc } from './handler.ts';
import type { ApiLimits } from './limits.ts';

export interface ApiDependencies {
  readonly bus: CommandBus;
  readonly reader: ReadModelReader;
  readonly progress: Progress;
  /** The log, for what is asked at a point in time; everything else is answered from read models. */
  readonly streams: Pick<EventStore, 'readStream'>;
  /** The end of the log now. */
  readonly head: () => Promise<Position>;
  /** The log itself, for the event feed; nothing else reads it. */
  readonly subscribe: EventStore['subscribe'];
  readonly tokens: PositionTokens;
  /** Of resume tokens. */
  readonly seal: Seal;
  readonly refusedRecords: RefusedRecords;
  readonly operator: ProjectionOperator;
  /** Projections that this process cannot go on with, such as "balance/2". Default: none. */
  readonly failedProjections?: (() => readonly string[]) | undefined;
  /** Names of the policies' checkpoints, such as "policy:order-rebate". */
  readonly policies: readonly string[];
  readonly clock: () => Date;
  /** One line for operators. */
  readonly log: (line: string) => void;
  /** Events after a position up to the head, where the store can count them. Default: it cannot. */
  readonly countEvents?: ((after: Position, head: Position) => bigint | undefined) | undefined;
}

export interface ApiContext extends ApiDependencies {
  readonly limits: ApiLimits;
  readonly rpc: Rpc;
}
