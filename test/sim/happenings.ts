/** Events to choose from: few streams, so that rows are hit often. Made once, the same in every run. */
import { encodeEvent } from '../../src/domain/codec.ts';
import { someHistory } from '../projections/support/history.ts';

interface Happening {
  readonly stream: string;
  readonly type: string;
  readonly data: string;
}

let made: readonly [Happening, ...Happening[]] | undefined;

export function happenings(): readonly [Happening, ...Happening[]] {
  if (made) return made;
  const [first, ...others] = someHistory(800, 1).map(({ stream, event }) => ({
    stream,
    ...encodeEvent(event),
  }));
  if (!first) throw new Error('no history');
  return (made = [first, ...others]);
}
