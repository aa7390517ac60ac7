/** What operators do to read models, in Postgres. */
import type pg from 'pg';
import type { EventStore } from '../../../eventstore/port.ts';
import type { ProjectionOperator } from '../../engine/operator.ts';
import * as generations from './generations.ts';
import * as parked from './parked.ts';
import { generationReport, generationReports } from './report.ts';

/** `store`: the log that the read models are folded from. */
export const postgresOperator = (
  pool: pg.Pool,
  store: Pick<EventStore, 'readStream'>,
): ProjectionOperator => ({
  generations: () => generationReports(pool),
  generation: (model, number) => generationReport(pool, model, number),
  rebuild: (model, options, who) => generations.rebuild(pool, model, options, who),
  wish: (model, number, wished, who) => generations.wish(pool, model, number, wished, who),
  accept: (model, number, who) => generations.accept(pool, model, number, who),
  rollback: (model, who) => generations.rollback(pool, model, who),
  parked: (model) => parked.scopes(pool, model),
  parkedEvents: (model, generation, scope) => parked.events(pool, model, generation, scope),
  retryParked: (model, scope, who) => parked.retry(pool, store, model, scope, who),
  dropParked: (model, scope, who) => parked.drop(pool, model, scope, who),
});
