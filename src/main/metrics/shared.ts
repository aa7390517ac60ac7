/** Figures of the installation: what the database shows, whoever writes it. The same on every instance. */
import { comparePositions, type Position } from '../../eventstore/port.ts';
import type { Figure } from '../../operations/metrics.ts';
import type { AuditReport } from '../../projections/audit/storage.ts';
import { leaseName } from '../../projections/engine/storage.ts';
import type { Observations } from '../../projections/postgres/observations.ts';
import { figure, type InstanceFigures } from './figures.ts';

export function observedFigures(
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
      const perFollower = (name: string, help: string, value: (of: Observed) => number | undefined): Figure =>
        figure(
          `tallyback_${kind}_${name}`,
          help,
          [label],
          of.flatMap(({ labels, checkpoint }) => {
            const found = value(checkpoint);
            return found === undefined ? [] : [{ labels, value: found }];
          }),
        );
      return [
        perFollower(
          'lag_events',
          'Events it has not handled; absent where positions do not count events.',
          (one) => lag(one.position),
        ),
        perFollower(
          'caught_up',
          'Whether it has handled everything in the log.',
          (one) => head && (comparePositions(one.position, head) >= 0 ? 1 : 0),
        ),
        perFollower('since_progress_seconds', 'Since its checkpoint moved last.', (one) => one.idleSeconds),
        perFollower('failed', 'Whether it has given up, and waits for somebody.', (one) =>
          one.failed ? 1 : 0,
        ),
      ];
    }),
    figure(
      'tallyback_projection_parked_events',
      'Events that could not be folded, and those that wait behind them.',
      ['read_model'],
      models.map(({ name }) => ({ labels: { read_model: name }, value: parked.get(name) ?? 0 })),
    ),
    figure(
      'tallyback_rebuild_stage',
      'Generations that are being built, at each stage.',
      ['read_model', 'stage'],
      building.map(({ model, stage }) => ({ labels: { read_model: model, stage }, value: 1 })),
    ),
    figure(
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

export function auditFigures({ lastSuccessAt, imbalances, differences }: AuditReport): Figure[] {
  const found = [...differences];
  return [
    figure(
      'tallyback_audit_differences_total',
      'Differences between tables and log that were ever found.',
      ['read_model'],
      found.map(([name, { all }]) => ({ labels: { read_model: name }, value: all })),
    ),
    figure(
      'tallyback_audit_open_differences',
      'Those that are still there.',
      ['read_model'],
      found.map(([name, { open }]) => ({ labels: { read_model: name }, value: open })),
    ),
    figure(
      'tallyback_ledger_imbalance_minor_units',
      'How far all balances are from all amounts in the log. Must be 0.',
      ['currency'],
      Array.from(imbalances, ([currency, amount]) => ({ labels: { currency }, value: Number(amount) })),
    ),
    figure(
      'tallyback_audit_last_success_timestamp_seconds',
      'When the audit last got through a step without failing.',
      [],
      lastSuccessAt ? [{ value: lastSuccessAt.getTime() / 1_000 }] : [],
    ),
  ];
}
