/** The figures of an instance, looked up when they are asked for. */
import type pg from 'pg';
import { comparePositions, type EventStore, type Position } from '../eventstore/port.ts';
import type { Figure, Sample } from '../operations/metrics.ts';
import { systemTiming } from '../operations/timing.ts';
import type { Auditor } from '../projections/audit/auditor.ts';
import type { AuditReport, AuditStorage } from '../projections/audit/storage.ts';
import type { Projections } from '../projections/engine/engine.ts';
import type { ProjectionState } from '../projections/engine/projector.ts';
import type { ReadModel } from '../projections/engine/read-model.ts';
import { leaseName } from '../projections/engine/storage.ts';
import { type Observations, observe } from '../projections/postgres/observations.ts';

export interface InstanceFigures {
  readonly pool: pg.Pool;
  readonly store: Pick<EventStore, 'head'>;
  readonly projections: Projections;
  readonly models: readonly ReadModel[];
  /** Names of policies, and of their checkpoints. */
  readonly policies: readonly { readonly name: string; readonly checkpoint: string }[];
  readonly audit: Pick<AuditStorage, 'report'>;
  readonly auditor: Auditor | undefined;
  /** Events between two positions, where positions count events. */
  readonly countEvents: (after: Position, head: Position) => bigint | undefined;
}

/** Milliseconds for each part: who asks does not wait long. */
const patience = 3_000;

const states: readonly ProjectionState[] = [
  'building',
  'catching-up',
  'live',
  'standby',
  'retrying',
  'failed',
];

export async function lookUp(instance: InstanceFigures): Promise<readonly Figure[]> {
  const { pool, store, audit } = instance;
  // The checkpoints first: so a lag is never less than it is.
  const observed = await inTime(() => observe(pool));
  const [head, report] = await Promise.all([inTime(() => store.head()), inTime(() => audit.report())]);
  return [
    gauge(
      'tallyback_up',
      'Whether a part that Tallyback stands on answers.',
      ['part'],
      [
        { labels: { part: 'database' }, value: observed ? 1 : 0 },
        { labels: { part: 'event_log' }, value: head ? 1 : 0 },
      ],
    ),
    ...ownFigures(instance),
    ...(observed ? observedFigures(instance, observed, head) : []),
    ...(report ? auditFigures(report) : []),
  ];
}

const gauge = (
  name: string,
  help: string,
  labels: readonly string[],
  samples: readonly Sample[],
): Figure => ({ name, help, labels, samples });

/** Of this process. */
function ownFigures({ projections, models, auditor }: InstanceFigures): Figure[] {
  const statuses = projections.status();
  const sum = (model: string, of: 'events' | 'rows' | 'fenced'): number =>
    statuses.filter(({ name }) => name === model).reduce((total, status) => total + status[of], 0);
  const perModel = (value: (model: string) => number): Sample[] =>
    models.map(({ name }) => ({ labels: { read_model: name }, value: value(name) }));
  const leading = new Set(projections.leading());
  const serving = (model: string) => projections.catalog.findServing(model);
  const leads = (model: string): boolean => {
    const generation = serving(model);
    return generation !== undefined && leading.has(leaseName(generation));
  };
  const stateOf = (model: string): ProjectionState =>
    statuses.find(({ name, generation }) => name === model && generation === serving(model)?.number)?.state ??
    'standby';
  return [
    gauge(
      'tallyback_projection_state',
      'What this instance does about the generation that serves: 1 for the state it is in.',
      ['read_model', 'state'],
      models.flatMap(({ name }) =>
        states.map((state) => ({
          labels: { read_model: name, state },
          value: stateOf(name) === state ? 1 : 0,
        })),
      ),
    ),
    gauge(
      'tallyback_projection_led',
      'Whether this instance leads the generation that serves.',
      ['read_model'],
      perModel((name) => (leads(name) ? 1 : 0)),
    ),
    gauge(
      'tallyback_projection_events_total',
      'Events read by this process.',
      ['read_model'],
      perModel((name) => sum(name, 'events')),
    ),
    gauge(
      'tallyback_projection_rows_total',
      'Rows written by this process.',
      ['read_model'],
      perModel((name) => sum(name, 'rows')),
    ),
    gauge(
      'tallyback_projection_fenced_total',
      'Writes of this process that were refused because another one was ahead.',
      ['read_model'],
      perModel((name) => sum(name, 'fenced')),
    ),
    gauge('tallyback_leases_led', 'Checkpoints this instance leads.', [], [{ value: leading.size }]),
    gauge(
      'tallyback_audit_rows_total',
      'Rows the audit of this process looked at.',
      [],
      [{ value: auditor?.done.rows ?? 0 }],
    ),
    gauge(
      'tallyback_audit_events_total',
      'Events the audit of this process read.',
      [],
      [{ value: auditor?.done.events ?? 0 }],
    ),
    gauge(
      'tallyback_audit_rounds_total',
      'Times the audit of this process came through all of it.',
      [],
      [{ value: auditor?.done.rounds ?? 0 }],
    ),
  ];
}

/** Of the database, whoever writes it: the same on every instance. */
function observedFigures(
  { projections, models, policies, countEvents }: InstanceFigures,
  { checkpoints, building, parked }: Observations,
  head: Position | undefined,
): Figure[] {
  const byName = new Map(checkpoints.map((checkpoint) => [checkpoint.name, checkpoint]));
  const followers = [
    ...models.flatMap(({ name }) => {
      const serving = projections.catalog.findServing(name);
      const checkpoint = serving && byName.get(leaseName(serving));
      return checkpoint ? [{ kind: 'projection' as const, labels: { read_model: name }, checkpoint }] : [];
    }),
    ...policies.flatMap(({ name, checkpoint: checkpointName }) => {
      const checkpoint = byName.get(checkpointName);
      return checkpoint ? [{ kind: 'policy' as const, labels: { policy: name }, checkpoint }] : [];
    }),
  ];
  const lag = (position: Position): number | undefined => {
    if (!head) return undefined;
    if (comparePositions(position, head) >= 0) return 0;
    const events = countEvents(position, head);
    return events === undefined ? undefined : Number(events);
  };
  return [
    ...(['projection', 'policy'] as const).flatMap((kind) => {
      const label = kind === 'projection' ? 'read_model' : 'policy';
      const of = followers.filter((one) => one.kind === kind);
      const figure = (name: string, help: string, value: (of: Observed) => number | undefined): Figure =>
        gauge(
          `tallyback_${kind}_${name}`,
          help,
          [label],
          of.flatMap(({ labels, checkpoint }) => {
            const found = value(checkpoint);
            return found === undefined ? [] : [{ labels, value: found }];
          }),
        );
      return [
        figure(
          'lag_events',
          'Events it has not handled; absent where positions do not count events.',
          (one) => lag(one.position),
        ),
        figure(
          'caught_up',
          'Whether it has handled everything in the log.',
          (one) => head && (comparePositions(one.position, head) >= 0 ? 1 : 0),
        ),
        figure('since_progress_seconds', 'Since its checkpoint moved last.', (one) => one.idleSeconds),
        figure('failed', 'Whether it has given up, and waits for somebody.', (one) => (one.failed ? 1 : 0)),
      ];
    }),
    gauge(
      'tallyback_projection_parked_events',
      'Events that could not be folded, and those that wait behind them.',
      ['read_model'],
      models.map(({ name }) => ({ labels: { read_model: name }, value: parked.get(name) ?? 0 })),
    ),
    gauge(
      'tallyback_rebuild_stage',
      'Generations that are being built, at each stage.',
      ['read_model', 'stage'],
      building.map(({ model, stage }) => ({ labels: { read_model: model, stage }, value: 1 })),
    ),
    gauge(
      'tallyback_rebuild_remaining_seconds',
      'Estimated, of generations that are being built.',
      ['read_model'],
      building.flatMap(({ model, remainingSeconds }) =>
        remainingSeconds === undefined ? [] : [{ labels: { read_model: model }, value: remainingSeconds }],
      ),
    ),
  ];
}

type Observed = Observations['checkpoints'][number];

function auditFigures({ lastSuccessAt, imbalances, differences }: AuditReport): Figure[] {
  const found = [...differences];
  return [
    gauge(
      'tallyback_audit_differences_total',
      'Differences between tables and log that were ever found.',
      ['read_model'],
      found.map(([name, { all }]) => ({ labels: { read_model: name }, value: all })),
    ),
    gauge(
      'tallyback_audit_open_differences',
      'Those that are still there.',
      ['read_model'],
      found.map(([name, { open }]) => ({ labels: { read_model: name }, value: open })),
    ),
    gauge(
      'tallyback_ledger_imbalance_minor_units',
      'How far all balances are from all amounts in the log. Must be 0.',
      ['currency'],
      Array.from(imbalances, ([currency, amount]) => ({ labels: { currency }, value: Number(amount) })),
    ),
    gauge(
      'tallyback_audit_last_success_timestamp_seconds',
      'When the audit last got through a step without failing.',
      [],
      lastSuccessAt ? [{ value: lastSuccessAt.getTime() / 1_000 }] : [],
    ),
  ];
}

/** Undefined if it fails or takes too long. */
async function inTime<T>(look: () => Promise<T>): Promise<T | undefined> {
  const over = new AbortController();
  try {
    return await Promise.race([
      look().catch(() => undefined),
      systemTiming.sleep(patience, over.signal).then(() => undefined),
    ]);
  } finally {
    over.abort();
  }
}
