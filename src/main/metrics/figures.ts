/** What figures are made of, and from. */
import type pg from 'pg';
import type { WatchCounts } from '../../api/watch/counts.ts';
import type { EventStore, Position } from '../../eventstore/port.ts';
import type { Figure, Sample } from '../../operations/metrics.ts';
import type { Auditor } from '../../projections/audit/auditor.ts';
import type { AuditStorage } from '../../projections/audit/storage.ts';
import type { Projections } from '../../projections/engine/engine.ts';
import type { ReadModel } from '../../projections/engine/read-model.ts';

export interface InstanceFigures {
  readonly pool: pg.Pool;
  readonly store: Pick<EventStore, 'head'>;
  readonly projections: Projections;
  readonly models: readonly ReadModel[];
  /** Names of policies, and of their checkpoints. */
  readonly policies: readonly { readonly name: string; readonly checkpoint: string }[];
  readonly audit: Pick<AuditStorage, 'report'>;
  readonly auditor: Auditor | undefined;
  /** By the watches' names; empty without the API. */
  readonly watches: Readonly<Record<string, WatchCounts>>;
  /** Events between two positions, where positions count events. */
  readonly countEvents: (after: Position, head: Position) => bigint | undefined;
}

/** Of anything: what only grows says so by its name. */
export const figure = (
  name: string,
  help: string,
  labels: readonly string[],
  samples: readonly Sample[],
): Figure => ({ name, help, labels, samples });
