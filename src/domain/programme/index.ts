import type { Aggregate } from '../aggregate.ts';
import type { ProgrammeCommand } from './commands.ts';
import { decideProgramme } from './decide.ts';
import { evolveProgramme, initialProgramme, type ProgrammeEventType, type ProgrammeState } from './state.ts';

export const programmeAggregate: Aggregate<ProgrammeState, ProgrammeCommand, ProgrammeEventType> = {
  category: 'programme',
  snapshotVersion: 1,
  initial: initialProgramme,
  evolve: evolveProgramme,
  decide: decideProgramme,
};

export type { ProgrammeCommand } from './commands.ts';
export { evaluateLine, matchingRule, ruleSetInForce } from './evaluate.ts';
export type { ProgrammeEventType, ProgrammeState } from './state.ts';
