// SPDX-License-Identifier: Apache-2.0
package pocketrec.desktop;

import pocketrec.core.PocketRecException;
import pocketrec.core.Recommender;
import pocketrec.core.Task;
import pocketrec.core.TrainingOptions;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.LongFunction;

/** The calls of {@link Serve} on the tasks of recommenders. */
final class TaskCalls {
    private final LongFunction<Recommender> recommenders;
    private final Map<Long, Task> tasks = new HashMap<>();
    private long opened;

    TaskCalls(LongFunction<Recommender> recommenders) {
        this.recommenders = recommenders;
    }

    void addTo(Map<String, Serve.Call> calls) {
        calls.put("task.open", this::open);
        calls.put("task.add", given -> at(given).add(StoreCalls.events(given.list(1))));
        calls.put("task.personalise", this::personalise);
        calls.put("task.recommend", this::recommend);
        calls.put("task.save", given -> at(given).save().getPath());
        calls.put("task.facts", this::facts);
    }

    private Task at(Serve.Arguments given) {
        return tasks.get(given.number(0));
    }

    /** Number of a recommender, and a name. */
    private Object open(Serve.Arguments given) throws PocketRecException {
        tasks.put(++opened, recommenders.apply(given.number(0)).task(given.text(1)));
        return opened;
    }

    /** Events and a budget; gives the report and the steps that were told. */
    private Object personalise(Serve.Arguments given) throws PocketRecException {
        List<Object> steps = new ArrayList<>();
        TrainingOptions options =
                TrainingOptions.DEFAULT.withProgress(
                        (done, total, loss) -> {
                            steps.add((long) done);
                            steps.add((long) total);
                        });
        if (given.at(2) != null) {
            options = options.withBudget(RecommenderCalls.budget((Map<?, ?>) given.at(2)));
        }
        Map<String, Object> told = new LinkedHashMap<>();
        Task task = at(given);
        told.put("report", task.personalise(StoreCalls.events(given.list(1)), options).toMap());
        told.put("steps", steps);
        return told;
    }

    /** How many, candidates, whether seen ones are left out, and the moment. */
    private Object recommend(Serve.Arguments given) throws PocketRecException {
        double now = given.at(4) == null ? System.currentTimeMillis() / 1000.0 : given.real(4);
        List<String> candidates = RecommenderCalls.texts(given.at(2));
        boolean mask = (Boolean) given.at(3);
        return RecommenderCalls.pairs(
                at(given).recommend((int) given.number(1), candidates, mask, now));
    }

    private Object facts(Serve.Arguments given) {
        Task task = at(given);
        Map<String, Object> facts = new LinkedHashMap<>();
        facts.put("ids", task.patch.ids);
        facts.put("choice", task.choice());
        facts.put("size", (long) task.size());
        facts.put("outdated", task.outdated());
        return facts;
    }
}
