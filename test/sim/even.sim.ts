import { runHalf } from './halves.ts';

runHalf(0);
