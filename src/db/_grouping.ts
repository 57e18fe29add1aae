/**
 * Grouping of statements: what many callers of one process ask at the same moment goes out as one statement. Asked alone,
 * a caller waits for nothing; under load the statement for the next callers is gathered while one is under way.
 */
import type { Db } from "./pool.ts";
import { isTransientDatabaseError, sqlstateOf } from "./sqlstate.ts";

const FLIGHTS_MAX = 2;

interface Asked<Question, Answer> {
  question: Question;
  resolve(answer: Answer): void;
  reject(error: unknown): void;
}

/**
 * @param options.answer  one statement for all questions; an answer for each, in their order
 * @returns asks on a database's lane; rejects with what `answer` rejected with
 */
export function createGrouping<Question, Answer>(options: {
  groupMax: number;
  answer(db: Db, questions: readonly Question[]): Promise<readonly Answer[]>;
}): (db: Db, question: Question) => Promise<Answer> {
  type Ask = (question: Question) => Promise<Answer>;
  const lanes = new WeakMap<object, Ask>();
  return (db, question) => {
    let ask = lanes.get(db.sql);
    if (!ask) {
      ask = openLane(db, options);
      lanes.set(db.sql, ask);
    }
    return ask(question);
  };
}

function openLane<Question, Answer>(
  db: Db,
  { groupMax, answer }: Parameters<typeof createGrouping<Question, Answer>>[0],
): (question: Question) => Promise<Answer> {
  let queue: Asked<Question, Answer>[] = [];
  let flights = 0;
  let underWay = 0;
  let isScheduled = false;

  const send = async (group: readonly Asked<Question, Answer>[]) => {
    const answers = await answer(
      db,
      group.map(({ question }) => question),
    );
    for (const [index, { resolve }] of group.entries()) resolve(answers[index] as Answer);
  };

  const fly = async (group: readonly Asked<Question, Answer>[]) => {
    try {
      await send(group);
    } catch (error) {
      if (group.length === 1 || sqlstateOf(error) === null || isTransientDatabaseError(error)) {
        for (const { reject } of group) reject(error);
        return;
      }
      // PostgreSQL says so: nothing was written. One question is to blame; let the others have their answers.
      for (const one of group) await send([one]).catch((own) => one.reject(own));
    }
  };

  const flush = () => {
    isScheduled = false;
    // Beside a large one, a statement for a few that came late costs as much again.
    while (queue.length > 0 && flights < FLIGHTS_MAX && queue.length >= underWay) {
      const group = queue.slice(0, groupMax);
      queue = queue.slice(groupMax);
      flights += 1;
      underWay += group.length;
      void fly(group).finally(() => {
        flights -= 1;
        underWay -= group.length;
        flush();
      });
    }
  };

  return (question) =>
    new Promise((resolve, reject) => {
      queue.push({ question, resolve, reject });
      if (isScheduled) return;
      isScheduled = true;
      setImmediate(flush);
    });
}
