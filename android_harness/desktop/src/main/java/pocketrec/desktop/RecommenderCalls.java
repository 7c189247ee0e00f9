// SPDX-License-Identifier: Apache-2.0
package pocketrec.desktop;

import pocketrec.core.Budget;
import pocketrec.core.Bundle;
import pocketrec.core.ConfigException;
import pocketrec.core.Filter;
import pocketrec.core.PersonalState;
import pocketrec.core.PocketRecException;
import pocketrec.core.Recommendation;
import pocketrec.core.RecommendOptions;
import pocketrec.core.Recommender;
import pocketrec.core.States;
import pocketrec.core.Task;
import pocketrec.core.TrainingOptions;
import pocketrec.core.Weights;
import pocketrec.pull.Versions;
import pocketrec.store.EventStore;

import java.io.File;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** The calls of {@link Serve} on recommenders. */
final class RecommenderCalls {
    private final LiteRtRuntime runtime;
    private final Map<Long, Recommender> recommenders = new HashMap<>();
    private final Map<Long, EventStore> stores = new HashMap<>();
    private long opened;

    RecommenderCalls(LiteRtRuntime runtime) {
        this.runtime = runtime;
    }

    void addTo(Map<String, Serve.Call> calls) {
        calls.put("open", this::open);
        calls.put("add", given -> at(given).add(StoreCalls.events(given.list(1))));
        calls.put("personalise", this::personalise);
        calls.put("recommend", this::recommend);
        calls.put("quality", this::quality);
        calls.put("titles", given -> at(given).titles(texts(given.at(1))));
        calls.put("task", this::task);
        new TaskCalls(recommenders::get).addTo(calls);
        calls.put("weights", this::weights);
        calls.put("embed", given -> floats(at(given).embed()));
        calls.put("forget", given -> at(given).forget(StoreCalls.events(given.list(1))));
        calls.put("export", given -> at(given).export(given.file(1)));
        calls.put("wipe", given -> StoreCalls.names(at(given).wipe()));
        calls.put("history", given -> at(given).history());
        calls.put("outdated", given -> at(given).outdated());
        calls.put("report", given -> at(given).report());
        calls.put("is_known", given -> at(given).isKnown());
        calls.put("state", given -> facts(at(given).state()));
        calls.put("state.restore", this::restore);
        calls.put("save", given -> done(() -> at(given).save()));
        calls.put("load", given -> done(() -> at(given).load()));
        calls.put("reset", given -> done(() -> at(given).reset()));
        calls.put("clear_history", given -> done(() -> at(given).clearHistory()));
        calls.put("close", this::close);
    }

    /** Work that gives nothing. */
    private interface Work {
        void run() throws PocketRecException;
    }

    private static Object done(Work work) throws PocketRecException {
        work.run();
        return null;
    }

    private Recommender at(Serve.Arguments given) {
        return recommenders.get(given.number(0));
    }

    /** Bundle, user, state, store, and a key for both. */
    private Object open(Serve.Arguments given) throws PocketRecException {
        Bundle bundle = Bundle.open(Versions.resolve(given.file(0)));
        File path = given.file(3);
        byte[] key = given.bytes(4);
        EventStore store = path == null ? null : EventStore.open(path, new JdbcDatabases(), key);
        boolean good = false;
        try {
            Recommender recommender =
                    new Recommender(
                            bundle, runtime, given.text(1), given.file(2), store, 1, key);
            recommenders.put(++opened, recommender);
            stores.put(opened, store);
            good = true;
            return opened;
        } finally {
            if (!good && store != null) {
                store.close();
            }
        }
    }

    /** A state, its bundle and its key. */
    private Object restore(Serve.Arguments given) throws PocketRecException {
        Bundle bundle = Bundle.open(given.file(1));
        return facts(States.restore(given.file(0), bundle, given.bytes(2)));
    }

    private Object close(Serve.Arguments given) {
        recommenders.remove(given.number(0)).close();
        EventStore store = stores.remove(given.number(0));
        if (store != null) {
            store.close();
        }
        return null;
    }

    /** Events, whether to resume, passes, and a table of the budget and whether only if new. */
    private Object personalise(Serve.Arguments given) throws PocketRecException {
        TrainingOptions options =
                given.at(3) == null
                        ? TrainingOptions.DEFAULT
                        : TrainingOptions.DEFAULT.withPasses((int) given.number(3));
        if (given.at(4) != null) {
            Map<?, ?> limits = (Map<?, ?>) given.at(4);
            options = options.withBudget(budget(limits));
            options = Boolean.TRUE.equals(limits.get("if_new")) ? options.onlyIfNew() : options;
        }
        boolean resume = Boolean.TRUE.equals(given.at(2));
        return at(given).personalise(StoreCalls.events(given.list(1)), resume, options).toMap();
    }

    /** Seconds, degrees, the folder of their zones, and how often is asked before it stops. */
    static Budget budget(Map<?, ?> limits) throws ConfigException {
        Budget budget = Budget.NONE;
        if (limits.get("seconds") != null) {
            budget = budget.withSeconds(((Number) limits.get("seconds")).doubleValue());
        }
        if (limits.get("celsius") != null) {
            budget = budget.withCelsius(((Number) limits.get("celsius")).doubleValue());
        }
        if (limits.get("zones") != null) {
            budget = budget.withZones(new File((String) limits.get("zones")));
        }
        if (limits.get("steps") != null) {
            long[] left = {(Long) limits.get("steps")};
            budget = budget.withReason(() -> left[0]-- > 0 ? "" : "enough");
        }
        return budget;
    }

    /**
     * How many, candidates, whether seen ones are left out, the moment, a filter as a list or as
     * what a function allows, and whether the catalogue is searched.
     */
    private Object recommend(Serve.Arguments given) throws PocketRecException {
        RecommendOptions options = RecommendOptions.DEFAULT.withCandidates(texts(given.at(2)));
        if (given.at(3) != null) {
            options = options.withMaskSeen((Boolean) given.at(3));
        }
        if (given.at(4) != null) {
            options = options.withNow(given.real(4));
        }
        if (given.at(5) != null) {
            Map<?, ?> filter = (Map<?, ?>) given.at(5);
            List<String> items = texts(filter.get("only"));
            Set<String> allowed = items == null ? new HashSet<>(texts(filter.get("allows"))) : null;
            options = options.withFilter(items == null ? allowed::contains : Filter.only(items));
        }
        if (given.at(6) != null) {
            options = options.withRetrieve((Boolean) given.at(6));
        }
        return pairs(at(given).recommend((int) given.number(1), options));
    }

    /** Name of a task, how many, candidates, whether seen ones are left out, and the moment. */
    private Object task(Serve.Arguments given) throws PocketRecException {
        Task task = at(given).task(given.text(1));
        List<String> candidates = texts(given.at(3));
        return pairs(
                task.recommend(
                        (int) given.number(2), candidates, (Boolean) given.at(4), given.real(5)));
    }

    static List<Object> pairs(List<Recommendation> ranked) {
        List<Object> pairs = new ArrayList<>();
        for (Recommendation one : ranked) {
            pairs.add(Arrays.asList(one.item, one.score));
        }
        return pairs;
    }

    /** The texts of a list; null = there is none. */
    static List<String> texts(Object list) {
        if (list == null) {
            return null;
        }
        List<String> texts = new ArrayList<>();
        for (Object text : (List<?>) list) {
            texts.add((String) text);
        }
        return texts;
    }

    private static Map<String, Object> facts(PersonalState state) {
        Map<String, Object> facts = new LinkedHashMap<>();
        facts.put("user", state.user);
        facts.put("trained", state.trained);
        facts.put("steps", state.steps);
        facts.put("generation", state.generation);
        facts.put("store", state.store);
        facts.put("through", state.through);
        facts.put("forgotten", state.forgotten);
        facts.put("personal", state.weights != null);
        facts.put("paused", state.paused());
        return facts;
    }

    /** Length of the lists, and how many events. */
    private Object quality(Serve.Arguments given) throws PocketRecException {
        return at(given).quality((int) given.number(1), (int) given.number(2)).toMap();
    }

    /** Personal tensors and slots by name; empty = the global ones are in use. */
    private Object weights(Serve.Arguments given) {
        Weights weights = at(given).state().weights;
        Map<String, Object> told = new LinkedHashMap<>();
        if (weights != null) {
            weights.names().forEach(name -> told.put(name, floats(weights.get(name))));
        }
        return told;
    }

    private static List<Double> floats(float[] values) {
        List<Double> list = new ArrayList<>();
        for (float value : values) {
            list.add((double) value);
        }
        return list;
    }
}
