// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
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
        PersonalState known = session.present();
        List<Recommendation> best = new ArrayList<>();
        if (known.rawRows().length > 0) {
            Ranking ranking = new Ranking(session.bundle, opening.open(), share(session));
            Ranking.Ranked ranked =
                    ranking.best(rows, known.rawRows(), known.rawTimes(), now, k);
            for (int place = 0; place < ranked.rows.length; place++) {
                String item = session.bundle.vocabulary.id(ranked.rows[place]);
                best.add(new Recommendation(item, ranked.scores[place]));
            }
        } else {
            for (int place = 0; place < Math.min(k, rows.length); place++) {
                String item = session.bundle.vocabulary.id(rows[place]);
                best.add(new Recommendation(item, 1.0 / (place + 1)));
            }
        }
        return Collections.unmodifiableList(best);
    }

    /**
     * The items that are ranked where nobody names any, after one history and another; the
     * candidates are read once.
     */
    static final class Offered {
        private final Session session;
        private final Model model;
        private final Allowed allowed;
        private final int[] candidates; // null = the whole catalogue is searched

        /**
         * @param model with the weights that are asked about
         */
        Offered(Session session, Model model) throws PocketRecException {
            this.session = session;
            this.model = model;
            allowed = new Allowed(null, session.bundle.vocabulary);
            candidates =
                    retrieves(session.bundle, null) ? null : Choosing.candidateRows(session, null);
        }

        /** Item rows, each once, of which {@code k} are wanted, after a history. */
        int[] rows(int[] history, int k) throws PocketRecException {
            boolean mask = session.bundle.manifest.maskSeen;
            if (candidates == null) {
                return Choosing.ofTheCatalogue(session, () -> model, history, k, mask, allowed);
            }
            int[] rows = Served.set(candidates, history, mask);
            return Arrays.stream(rows).filter(session.bundle.vocabulary::isItem).toArray();
        }
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
     * Share of the personal weights, and of the bonus for repeats, that the guard lets this user
     * have.
     */
    static double share(Session session) {
        return Guard.shareOf(String.valueOf(session.state.report.get("choice")));
    }
}
