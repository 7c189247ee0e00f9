// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.IntStream;

/**
 * Which items are ranked, before anything is scored: of the whole catalogue, of the bundle's
 * candidates, of a list; the rules of device/state/choosing.py. This class changes nothing.
 */
final class Choosing {
    private Choosing() {}

    /**
     * Rows to rank from the whole catalogue, each once: at least {@code k} of them where so many
     * pass.
     *
     * @param session of a bundle whose file has the signature retrieve
     * @param opening gives the model
     * @param history rows of the user's history, int [n]; without any, popular items stand for it
     * @param k items wanted
     * @param mask leave out items of the history
     * @param allowed the filter
     */
    static int[] ofTheCatalogue(
            Session session,
            Answers.Opening opening,
            int[] history,
            int k,
            boolean mask,
            Allowed allowed)
            throws PocketRecException {
        Bundle bundle = session.bundle;
        int most = Math.max(bundle.manifest.retrieved, k);
        if (history.length == 0) {
            int[] popular = allowed.keep(bundle.popular(most));
            if (popular.length >= k || allowed.all()) {
                return popular;
            }
            int[] rows = allowed.rows(); // by popularity
            return Arrays.copyOf(rows, Math.min(most, rows.length));
        }
        Model model = opening.open();
        int[] window = Windows.context(history, model.window);
        int[] retrieved = found(bundle, model, window);
        Neighbours near = bundle.neighbours.get();
        if (near != null) { // what goes with the history is ranked too
            int[] beside = near.best(history, bundle.manifest.retrieved);
            retrieved =
                    IntStream.concat(Arrays.stream(retrieved), Arrays.stream(beside)).toArray();
        }
        int[] rows = allowed.keep(Served.set(retrieved, history, mask));
        if (rows.length >= k) {
            return rows;
        }
        int[] left = allowed.rows();
        if (mask) {
            int[] seen = Arrays.stream(history).sorted().toArray();
            left = Arrays.stream(left).filter(row -> Arrays.binarySearch(seen, row) < 0).toArray();
        }
        Best best = new Best(k);
        best.add(left, model.scores(model.embed(window), left));
        return allowed.keep(Served.set(best.rows(), history, mask));
    }

    /** The K items: by the bundle's lists, where it has any that can be used, else by the file. */
    private static int[] found(Bundle bundle, Model model, int[] window)
            throws PocketRecException {
        ItemLists lists = bundle.lists.get();
        return lists == null
                ? model.retrieve(window)
                : lists.best(
                        model,
                        model.embed(window),
                        bundle.manifest.retrieved,
                        bundle.manifest.probes);
    }

    /** Rows of candidates, each once: those named, else the user's, else the popular items. */
    static int[] candidateRows(Session session, List<String> candidates) throws PocketRecException {
        if (candidates != null) {
            Set<Integer> rows = new LinkedHashSet<>();
            for (int row : session.bundle.vocabulary.rows(candidates)) {
                rows.add(row);
            }
            rows.removeAll(Collections.singleton(Contract.PADDING));
            return rows.stream().mapToInt(Integer::intValue).toArray();
        }
        int[] own = session.user == null ? null : session.bundle.candidatesOf(session.user);
        return own == null ? session.bundle.popular() : own;
    }
}
