// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;

/** What is recommended to a user, and how good that is. This class changes nothing. */
final class Answers {
    /** Gives the model with the present weights. */
    interface Opening {
        Model open() throws PocketRecException;
    }

    private Answers() {}

    static List<Recommendation> recommended(
            Session session, Opening opening, int k, RecommendOptions options)
            throws PocketRecException {
        if (k < 1) {
            throw new DataException(
                    "k must be at least 1, not " + k + ": ask for one item or more");
        }
        double now = options.now == null ? System.currentTimeMillis() / 1000.0 : options.now;
        if (Double.isNaN(now) || Double.isInfinite(now)) {
            throw new DataException("now must be a finite number: give Unix seconds");
        }
        Bundle bundle = session.bundle;
        int[] history = session.present().rawRows();
        boolean mask = options.maskSeen == null ? bundle.manifest.maskSeen : options.maskSeen;
        Allowed allowed = new Allowed(options.filter, bundle.vocabulary);
        int[] rows;
        if (options.candidates == null && retrieves(bundle, options.retrieve)) {
            rows = Choosing.ofTheCatalogue(session, opening, history, k, mask, allowed);
        } else {
            rows = Choosing.candidateRows(session, options.candidates);
            if (mask || options.candidates == null) {
                rows = Served.set(rows, history, mask);
            }
            rows = Arrays.stream(rows).filter(bundle.vocabulary::isItem).toArray();
            rows = allowed.keep(rows);
        }
        return ordered(session, opening, k, rows, now);
    }

    /** Whether the whole catalogue is searched: where the bundle can, unless it is not wanted. */
    private static boolean retrieves(Bundle bundle, Boolean asked) throws DataException {
        boolean can = bundle.manifest.retrieved > 0;
        if (Boolean.TRUE.equals(asked) && !can) {
            throw new DataException(
                    "the bundle cannot search its whole catalogue: export it with export.retrieve"
                            + " above 0, or rank its candidates");
        }
        return asked == null ? can : asked;
    }

    /** The best of these rows, with their scores. */
    private static List<Recommendation> ordered(
            Session session, Opening opening, int k, int[] rows, double now)
            throws PocketRecException {
        int[] history = session.present().rawRows();
        double[] scores = new double[rows.length];
        Integer[] order = new Integer[rows.length];
        Arrays.setAll(order, place -> place);
        if (history.length > 0) {
            float[] raised = scores(session, opening.open(), rows, now);
            Arrays.setAll(scores, place -> raised[place]);
            Arrays.sort(
                    order,
                    Comparator.<Integer>comparingDouble(place -> -scores[place])
                            .thenComparingInt(place -> rows[place]));
        } else {
            Arrays.setAll(scores, place -> 1.0 / (place + 1));
        }
        List<Recommendation> best = new ArrayList<>();
        for (int place = 0; place < Math.min(k, rows.length); place++) {
            int at = order[place];
            best.add(new Recommendation(session.bundle.vocabulary.id(rows[at]), scores[at]));
        }
        return Collections.unmodifiableList(best);
    }

    static Training.Judged evaluated(
            Session session, Model model, List<Event> next, Cancellation cancellation)
            throws PocketRecException {
        List<String> ids = new ArrayList<>();
        for (Event event : next) {
            ids.add(event.item);
        }
        int[] later = session.bundle.vocabulary.rows(ids);
        PersonalState old = session.present();
        int known = old.rawRows().length;
        int[] rows = Arrays.copyOf(old.rawRows(), known + later.length);
        double[] times = Arrays.copyOf(old.rawTimes(), known + later.length);
        int count = known;
        double latest = known > 0 ? times[known - 1] : 0.0;
        for (int place = 0; place < later.length; place++) {
            if (later[place] != Contract.PADDING) {
                Double time = next.get(place).time;
                latest = time == null ? latest : Math.max(latest, time);
                rows[count] = later[place];
                times[count++] = latest;
            }
        }
        Repeats repeats = session.bundle.recipe.repeats.times(share(session));
        return Training.evaluateTargets(
                model,
                Arrays.copyOf(rows, count),
                times,
                known,
                repeats.strength == 0 ? null : repeats,
                cancellation);
    }

    /**
     * Scores, float [n], of item rows, int [n], with the bundle's neighbours and with the bonus for
     * repeats as far as the guard lets this user have it.
     */
    private static float[] scores(Session session, Model model, int[] rows, double now)
            throws PocketRecException {
        PersonalState known = session.present();
        int[] items = Windows.context(known.rawRows(), model.window);
        float[] scores = model.ranked > 0 ? model.rank(items, rows) : inferred(model, items, rows);
        for (float score : scores) {
            if (Float.isNaN(score) || Float.isInfinite(score)) {
                throw new StateException(
                        "the weights give scores that are not numbers: reset the state, or fetch"
                                + " the bundle again");
            }
        }
        Neighbours neighbours = session.bundle.neighbours.get();
        if (neighbours != null) {
            neighbours.addTo(scores, rows, known.rawRows());
        }
        double[] times = known.rawTimes();
        session.bundle
                .recipe
                .repeats
                .times(share(session))
                .addTo(scores, rows, known.rawRows(), Repeats.gapsAt(times, times.length, now));
        return scores;
    }

    /** Scores by the signature infer, as many rows at a time as it takes. */
    private static float[] inferred(Model model, int[] items, int[] rows)
            throws PocketRecException {
        float[] scores = new float[rows.length];
        for (int start = 0; start < rows.length; start += model.candidates) {
            int count = Math.min(model.candidates, rows.length - start);
            int[] part =
                    Arrays.copyOf(Arrays.copyOfRange(rows, start, start + count), model.candidates);
            System.arraycopy(model.infer(items, part), 0, scores, start, count);
        }
        return scores;
    }

    /**
     * Share of the personal weights, and of the bonus for repeats, that the guard lets this user
     * have.
     */
    private static double share(Session session) {
        return Guard.shareOf(String.valueOf(session.state.report.get("choice")));
    }
}
