/**
 * @file Progress of a job for people: a bar with rate and time left on a terminal, a plain line now and then elsewhere.
 *
 * Bars go to stderr. Plain lines go to stdout, so that a log reads as the story of the run and stderr holds warnings
 * and errors only; with `--json`, where stdout belongs to the result, there are none.
 */
import { SingleBar } from 'cli-progress';
import type { JobMessage } from '../pipeline/run/host.js';
import { duration, percent, significant } from './format.js';

export interface ProgressView {
  show(message: JobMessage): void;
  /** A line that everybody should see now. */
  note(line: string): void;
  /** Leaves the terminal tidy; harmless when called again. */
  close(): void;
}

/** What one stretch of work shows at one moment. */
interface Reading {
  readonly title: string;
  readonly done: number;
  readonly total: number;
  readonly text: string;
}

const plainEverySeconds = 5;
const plainEveryShare = 0.1;
/** Not even a short stretch of work fills a log with lines. */
const plainLeastSeconds = 1;

/** The view that fits where the output goes. */
export function createProgressView(options: {
  readonly json?: boolean;
  readonly quiet?: boolean;
}): ProgressView {
  if (options.json || options.quiet) return new SilentView();
  return process.stderr.isTTY ? new BarView() : new PlainView();
}

function notice(message: string): string {
  return `notice: ${message}`;
}

class SilentView implements ProgressView {
  show(message: JobMessage): void {
    if (message.type === 'notice') this.note(notice(message.message));
  }
  note(line: string): void {
    console.error(line);
  }
  close(): void {
    return;
  }
}

class PlainView implements ProgressView {
  readonly #pace = new Pace();
  #shown = { title: '', at: 0, done: 0 };

  show(message: JobMessage): void {
    if (message.type === 'notice') return this.note(notice(message.message));
    if (message.type === 'phase') {
      if (message.state !== 'finished') console.log(phaseLine(message.phase, message.state));
      return;
    }
    const reading = readingOf(message);
    const left = this.#pace.secondsLeft(reading);
    const { title, done, total, text } = reading;
    const now = performance.now();
    const seconds = (now - this.#shown.at) / 1000;
    const due =
      seconds > plainEverySeconds ||
      (seconds > plainLeastSeconds && done - this.#shown.done >= plainEveryShare * total);
    if (title === this.#shown.title ? !due && done < total : message.type === 'loading') return;
    this.#shown = { title, at: now, done };
    const share = `${Math.floor((100 * done) / total)} %`.padStart(5);
    console.log(`${title.padEnd(20)} ${share}  ${text}${remaining(left)}`);
  }

  note(line: string): void {
    console.error(line);
  }

  close(): void {
    return;
  }
}

class BarView implements ProgressView {
  readonly #pace = new Pace();
  #bar: SingleBar | undefined;
  #title = '';

  show(message: JobMessage): void {
    if (message.type === 'notice') return this.note(notice(message.message));
    if (message.type === 'phase') {
      if (message.state === 'resumed') this.note(phaseLine(message.phase, message.state));
      return;
    }
    const reading = readingOf(message);
    const left = this.#pace.secondsLeft(reading);
    const { title, done, total, text } = reading;
    const payload = { title: title.padEnd(20), text: text + remaining(left) };
    if (this.#bar === undefined || this.#title !== title) {
      this.#bar?.stop();
      this.#title = title;
      this.#bar = new SingleBar({
        format: '{title} {bar} {percentage} %  {text}',
        barsize: 24,
        barCompleteChar: '█',
        barIncompleteChar: '░',
        hideCursor: true,
        linewrap: false,
        gracefulExit: false,
        stream: process.stderr,
      });
      this.#bar.start(total, done, payload);
    } else this.#bar.update(done, payload);
    if (done === total) this.close();
  }

  note(line: string): void {
    this.close();
    console.error(line);
  }

  close(): void {
    this.#bar?.stop();
    this.#bar = undefined;
  }
}

/** Seconds left at the pace since this stretch of work (or what was left of it after a resume) began. */
class Pace {
  #title = '';
  #from = { at: 0, done: 0 };

  secondsLeft({ title, done, total }: Reading): number | undefined {
    const now = performance.now();
    if (title !== this.#title) {
      this.#title = title;
      this.#from = { at: now, done };
    }
    const worked = done - this.#from.done;
    if (worked <= 0 || done === total) return undefined;
    return (((now - this.#from.at) / 1000) * (total - done)) / worked;
  }
}

function remaining(seconds: number | undefined): string {
  return seconds === undefined ? '' : `, ${duration(seconds)} left`;
}

function phaseLine(phase: string, state: 'started' | 'resumed'): string {
  return state === 'resumed' ? `${phase}: going on from where it was` : `${phase}:`;
}

function readingOf(message: Exclude<JobMessage, { type: 'notice' | 'phase' }>): Reading {
  if (message.type === 'loading') {
    const { phase, done, total } = message;
    return {
      title: `${phase} the data`,
      done,
      total,
      text: phase === 'reading' ? `${significant(total / 1e6)} MB` : `${total} images`,
    };
  }
  if (message.type === 'ranking') {
    const { title, done, total, text } = message;
    return { title, done, total, text };
  }
  if (message.type === 'measuring') {
    const { done, total, operation } = message;
    return { title: 'measuring', done: Math.round(100 * done), total: 100 * total, text: operation };
  }
  if (message.type === 'training') {
    const { name, step, steps, epoch, epochs, loss, accuracy, imagesPerSecond, passes } = message;
    return {
      title: name,
      done: step,
      total: steps,
      text:
        `epoch ${epoch}/${epochs}, loss ${loss.toFixed(3)}, training accuracy ${percent(accuracy, 1)}, ` +
        `${Math.round(imagesPerSecond)} images/s${passes === undefined ? '' : `, ${passes} passes`}`,
    };
  }
  const { title, generation, generations, candidate, candidates, evaluated, bestAccuracy } = message;
  return {
    title,
    // The first generation may hold another number of candidates than the others.
    done: Math.round(100 * (generation - 1 + candidate / candidates)),
    total: 100 * generations,
    text: `generation ${generation}/${generations}, ${evaluated} judged, best ${percent(bestAccuracy)} on search-validation`,
  };
}
