// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * What one personal training is about, and the fingerprint by which an equal one is known: the
 * rules of device/state/plan.py, to the same digits.
 */
final class Plan {
    /** Events of the history that it knows, the first ones. */
    final int length;

    /** Index of the first event that the start has not seen. */
    final int since;

    /** Whether it starts from the state's weights and not from the global ones. */
    final boolean resumed;

    /** Train steps behind the start. */
    final int step;

    private final Wish wish;
    private Integer firstTarget;
    private Integer events;
    private Integer replayFrom;

    /** What the application asks for. */
    static final class Wish {
        /** Go on from the present weights. */
        final boolean resume;

        /** Passes over the events; null = the recipe's. */
        final Integer passes;

        /**
         * @param options whose passes count
         */
        Wish(boolean resume, TrainingOptions options) {
            this.resume = resume;
            passes = options.passes < 0 ? null : options.passes;
        }
    }

    private Plan(int length, int since, boolean resumed, int step, Wish wish) {
        this.length = length;
        this.since = since;
        this.resumed = resumed;
        this.step = step;
        this.wish = wish;
    }

    /**
     * The plan for a state.
     *
     * @param state with the history, and the weights to go on from where that is wished
     * @param before index of the first event that the global model has not seen
     * @param length events of the history that count
     * @param fresh whether events were given, known ones too
     */
    static Plan of(
            PersonalState state, Recipe recipe, int before, int length, Wish wish, boolean fresh) {
        int since = Guard.learnedSince(length, Math.min(before, length));
        if (!wish.resume || state.weights == null) {
            return new Plan(length, since, false, 0, wish);
        }
        int base = Guard.learnedSince(length, recipe.firstTarget(since));
        boolean more = state.trained < length || fresh;
        int first = Math.max(base, state.trained);
        Plan plan = new Plan(length, more ? first : since, true, state.steps, wish);
        plan.events = Guard.eventsToLearn(length, since);
        plan.firstTarget = more ? first : null;
        plan.replayFrom = more ? base : null;
        return plan;
    }

    /**
     * Where its training starts.
     *
     * @param reference the global weights and slots
     * @param paused where it was stopped; null = it begins
     */
    Guard.Start start(PersonalState state, Recipe recipe, Weights reference, Paused paused) {
        int from = Guard.learnedSince(length, since);
        int first = firstTarget == null ? recipe.firstTarget(from) : firstTarget;
        return new Guard.Start(
                from,
                Guard.learnedSince(length, first),
                replayFrom == null ? -1 : replayFrom,
                events == null ? Guard.eventsToLearn(length, from) : events,
                resumed ? state.weights : reference,
                step,
                paused);
    }

    /** The state with the events alone that the plan is about. */
    PersonalState first(PersonalState state) {
        return state.withHistory(
                Arrays.copyOf(state.rawRows(), length),
                Arrays.copyOf(state.rawTimes(), length),
                Math.min(state.trained, length));
    }

    /** Fingerprint of the plan, the events, the recipe, and the weights that it starts from. */
    String key(PersonalState state, Recipe recipe) {
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("length", (long) length);
        map.put("since", (long) since);
        map.put("resumed", resumed);
        map.put("step", (long) step);
        map.put("passes", wish.passes);
        map.put("first_target", firstTarget);
        map.put("events", events);
        map.put("replay_from", replayFrom);
        MessageDigest digest = about(map, recipe.plain);
        add(digest, state, length, recipe.repeats.timePower > 0);
        if (resumed) {
            for (String name : state.weights.names()) {
                float[] value = state.weights.raw(name);
                digest.update(name.getBytes(StandardCharsets.UTF_8));
                digest.update(Tensor.of(value, new int[] {value.length}).bytes());
            }
        }
        return Storage.hex(digest.digest());
    }

    /**
     * What a personalisation is about: the first {@code length} events, recipe and wish, whatever
     * the weights.
     *
     * @param before index of the first event that the global model has not seen
     */
    static String fingerprint(
            PersonalState state, Recipe recipe, int before, int length, Wish wish) {
        MessageDigest digest =
                about(
                        (long) Math.min(before, length),
                        (long) length,
                        wish.resume,
                        wish.passes,
                        recipe.plain);
        add(digest, state, length, true);
        return Storage.hex(digest.digest());
    }

    private static MessageDigest about(Object... values) {
        MessageDigest digest = Storage.sha256();
        String text = Json.spaced(Arrays.asList(values));
        digest.update(text.getBytes(StandardCharsets.US_ASCII));
        return digest;
    }

    /** The first {@code length} events of a state. */
    private static void add(
            MessageDigest digest, PersonalState state, int length, boolean withTimes) {
        digest.update(Tensor.of(Arrays.copyOf(state.rawRows(), length)).bytes());
        if (withTimes) {
            digest.update(Tensor.of(Arrays.copyOf(state.rawTimes(), length)).bytes());
        }
    }
}
