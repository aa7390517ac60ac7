/** Figures of this process. */
import type { Figure, Sample } from '../../operations/metrics.ts';
import type { ProjectionState } from '../../projections/engine/projector.ts';
import { leaseName } from '../../projections/engine/storage.ts';
import { figure, type InstanceFigures } from './figures.ts';

const states: readonly ProjectionState[] = [
  'building',
  'catching-up',
  'live',
  'standby',
  'retrying',
  'failed',
];

export function ownFigures({ projections, models, auditor }: InstanceFigures): Figure[] {
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
    figure(
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
    figure(
      'tallyback_projection_led',
      'Whether this instance leads the generation that serves.',
      ['read_model'],
      perModel((name) => (leads(name) ? 1 : 0)),
    ),
    figure(
      'tallyback_projection_events_total',
      'Events read by this process.',
      ['read_model'],
      perModel((name) => sum(name, 'events')),
    ),
    figure(
      'tallyback_projection_rows_total',
      'Rows written by this process.',
      ['read_model'],
      perModel((name) => sum(name, 'rows')),
    ),
    figure(
      'tallyback_projection_fenced_total',
      'Writes of this process that were refused because another one was ahead.',
      ['read_model'],
      perModel((name) => sum(name, 'fenced')),
    ),
    figure('tallyback_leases_led', 'Checkpoints this instance leads.', [], [{ value: leading.size }]),
    figure(
      'tallyback_audit_rows_total',
      'Rows the audit of this process looked at.',
      [],
      [{ value: auditor?.done.rows ?? 0 }],
    ),
    figure(
      'tallyback_audit_events_total',
      'Events the audit of this process read.',
      [],
      [{ value: auditor?.done.events ?? 0 }],
    ),
    figure(
      'tallyback_audit_rounds_total',
      'Times the audit of this process came through all of it.',
      [],
      [{ value: auditor?.done.rounds ?? 0 }],
    ),
  ];
}
