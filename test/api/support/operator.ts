/** An operator of read models that does nothing but remember, and answers what it is told to. */
import { logStart } from '../../../src/eventstore/port.ts';
import type {
  GenerationReport,
  OperatorRefused,
  ParkedScope,
  ProjectionOperator,
} from '../../../src/projections/engine/operator.ts';
import type { ParkedEvent } from '../../../src/projections/engine/storage.ts';

export const report = (over: Partial<GenerationReport> = {}): GenerationReport => ({
  model: 'balance',
  number: 2,
  version: 1,
  columns: {},
  table: 'balance_2',
  state: 'building',
  stage: 'loading',
  wish: 'run',
  dryRun: false,
  accepted: false,
  incarnation: 1,
  position: logStart,
  owner: undefined,
  able: [],
  failure: undefined,
  requestedAt: new Date(0),
  finishedAt: undefined,
  target: undefined,
  events: 0n,
  eventsPerSecond: undefined,
  remainingSeconds: undefined,
  report: undefined,
  parked: 0n,
  ...over,
});

export class FakeOperator implements ProjectionOperator {
  /** Everything asked for, as "what subject who". */
  readonly asked: string[] = [];
  refusal: OperatorRefused | undefined;
  reports: readonly GenerationReport[] = [report()];
  scopes: readonly ParkedScope[] = [];
  events: readonly ParkedEvent[] = [];

  readonly generations = () => Promise.resolve(this.reports);
  readonly generation = (model: string, number: number) =>
    Promise.resolve(this.reports.find((one) => one.model === model && one.number === number));
  readonly parked = () => Promise.resolve(this.scopes);
  readonly parkedEvents = () => Promise.resolve(this.events);

  readonly rebuild: ProjectionOperator['rebuild'] = ({ name }, { dryRun }, who) =>
    this.#note(`${dryRun ? 'dry run' : 'rebuild'} ${name} ${who}`, 2);
  readonly wish: ProjectionOperator['wish'] = ({ name }, number, wish, who) =>
    this.#note(`${wish} ${name}/${number} ${who}`, undefined);
  readonly accept: ProjectionOperator['accept'] = ({ name }, number, who) =>
    this.#note(`accept ${name}/${number} ${who}`, undefined);
  readonly rollback: ProjectionOperator['rollback'] = ({ name }, who) =>
    this.#note(`rollback ${name} ${who}`, 1);
  readonly retryParked: ProjectionOperator['retryParked'] = ({ name }, scope, who) =>
    this.#note(`retry ${name} ${scope} ${who}`, 3);
  readonly dropParked: ProjectionOperator['dropParked'] = ({ name }, scope, who) =>
    this.#note(`drop ${name} ${scope} ${who}`, 4);

  async #note<R>(what: string, answer: R): Promise<R> {
    await Promise.resolve();
    if (this.refusal) throw this.refusal;
    this.asked.push(what);
    return answer;
  }
}
