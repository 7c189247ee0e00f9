package pocketrec.core;

import java.io.Closeable;
import java.io.File;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * A bundle together with one user's history and personal weights; what an application uses.
 *
 * <p>Methods may be called from any thread; they wait for each other, so none sees half-trained
 * weights. Those that touch the model or a file take time: call them on a worker thread, never on
 * Android's main one. Nothing opens a network connection, and nothing leaves the device: events,
 * weights and embeddings stay in this process and in the state file.
 */
public final class Recommender implements Closeable {
    private Bundle bundle;
    private final ModelRuntime runtime;
    private final int threads;
    private final File path;
    private String user;
    private PersonalState state;
    private Model model;
    private Weights reference;

    /**
     * Opens a recommender, and the state where there is one.
     *
     * @param bundle an opened bundle
     * @param runtime what runs the model
     * @param user user id; picks the candidate set; null = an unnamed user, who gets the popular
     *     items
     * @param path state file to continue from and to save to; it need not exist yet; null = none
     * @param threads threads of the runtime's kernels
     * @throws StateException the state file is damaged, or of another model or user
     */
    public Recommender(Bundle bundle, ModelRuntime runtime, String user, File path, int threads)
            throws PocketRecException {
        this.bundle = bundle.forUser(user);
        this.runtime = runtime;
        this.user = user;
        this.path = path;
        this.threads = threads;
        state = PersonalState.empty(user == null ? "" : user, 0);
        if (path != null && States.exists(path)) {
            load();
        }
    }

    /** What the device keeps of this user. */
    public synchronized PersonalState state() {
        return state;
    }

    /** Item ids of the history, oldest first, without those that the vocabulary lacks. */
    public synchronized List<String> history() {
        List<String> ids = new ArrayList<>();
        for (int row : present().rawRows()) {
            ids.add(bundle.vocabulary.id(row));
        }
        return ids;
    }

    /** The last personalisation's report as JSON values; empty where there was none. */
    public synchronized Map<String, Object> report() {
        return state.report;
    }

    /**
     * Appends events to the history; they count as context at once, and are trained on by {@link
     * #personalise}.
     *
     * <p>An event that has the item and the time of one in the history is the same event and is
     * left out, as often as the history has it. An event without a time counts as the latest. Items
     * that the vocabulary lacks are left out.
     *
     * @return how many were left out because their item is not in the vocabulary
     */
    public synchronized int add(List<Event> events) {
        List<String> ids = new ArrayList<>();
        for (Event event : events) {
            ids.add(event.item);
        }
        bundle.vocabulary.learn(events);
        int[] rows = bundle.vocabulary.rows(ids);
        state = History.merged(state, events, rows, bundle.manifest.cutOff, limit());
        return (int) Arrays.stream(rows).filter(row -> row == Contract.PADDING).count();
    }

    /** As the other, from the global weights, as the recipe says. */
    public Report personalise(List<Event> events) throws PocketRecException {
        return personalise(events, false, TrainingOptions.DEFAULT);
    }

    /**
     * Makes the model personal, as the bundle's recipe says, with all events of the history.
     *
     * <p>By default the training starts from the global weights, which is what the rehearsal
     * measured. With {@code resume} it continues from the present weights and optimiser slots, with
     * the events that training has not seen yet, and among them older ones, as many as the recipe's
     * {@code replay} says; without {@code events} and with none unseen, it makes further passes
     * over all. With too few events nothing is done, and that is not an error.
     *
     * @param events added to the history first; see {@link #add}
     * @param resume continue from the present weights
     * @param options passes, progress, cancellation
     * @return what was done
     * @throws CancelledException cancelled; the weights are as they were, and the events stay in
     *     the history as context
     * @throws BundleException the model file cannot be opened, or does not run
     */
    public synchronized Report personalise(
            List<Event> events, boolean resume, TrainingOptions options) throws PocketRecException {
        int unknown = add(events);
        Model model = open();
        PersonalState old = present();
        int[] rows = old.rawRows();
        Recipe recipe = bundle.recipe;
        int before = since();
        int since = Guard.learnedSince(rows.length, before);
        int older = since - before;
        int future = state.rawRows().length - rows.length;
        int first = Guard.learnedSince(rows.length, recipe.firstTarget(since));
        int replayFrom = -1;
        int learn = Guard.eventsToLearn(rows, since);
        boolean resumed = resume && old.weights != null;
        if (resumed && (old.trained < rows.length || !events.isEmpty())) {
            replayFrom = first;
            since = first = Math.max(first, old.trained);
        }
        Guard.Start start =
                new Guard.Start(
                        since,
                        first,
                        replayFrom,
                        learn,
                        resumed ? old.weights : reference,
                        resumed ? old.steps : 0);
        Personalise outcome;
        boolean done = false;
        try {
            outcome =
                    Personalise.follow(
                            model,
                            rows,
                            old.rawTimes(),
                            start,
                            resumed,
                            recipe,
                            reference,
                            options);
            done = true;
        } finally {
            if (!done) {
                model.importWeights(old.weights == null ? reference : old.weights);
            }
        }
        String choice =
                outcome.decision.choice.equals(Personalise.UNCHANGED)
                        ? String.valueOf(old.report.get("choice"))
                        : outcome.decision.choice;
        Report report =
                new Report(
                        outcome,
                        choice,
                        rows.length,
                        unknown,
                        start.step,
                        before,
                        older,
                        future);
        int trained = !outcome.losses.isEmpty() ? rows.length : resumed ? old.trained : 0;
        state =
                state.withTraining(
                        choice.equals(Guard.GLOBAL) ? null : outcome.weights,
                        trained,
                        report.steps,
                        report.toMap());
        return report;
    }

    /**
     * The best {@code k} items of the user's set, best first.
     *
     * <p>The set is the user's candidates in the bundle (else the popular items) and the items of
     * the own history; where the manifest masks seen items, the candidates that are not in the
     * history. Equal scores go by item row, the more popular first. Without any event in the
     * history the candidates stay in their own order, with 1 / place as the score.
     *
     * @param k items wanted, at least 1; fewer come back where the set is smaller
     * @throws DataException k is below 1
     */
    public List<Recommendation> recommend(int k) throws PocketRecException {
        return recommend(k, null, bundle.manifest.maskSeen);
    }

    /**
     * As the other.
     *
     * @param candidates item ids to choose from instead of the user's set; unknown ids and repeats
     *     are passed over; null = the user's set
     * @param maskSeen leave out items of the history
     * @throws DataException k is below 1
     */
    public List<Recommendation> recommend(int k, List<String> candidates, boolean maskSeen)
            throws PocketRecException {
        return recommend(k, candidates, maskSeen, System.currentTimeMillis() / 1000.0);
    }

    /**
     * As the other, asked at another moment than now.
     *
     * @param now Unix seconds, for a recipe whose bonus for repeats looks at times
     * @throws DataException k is below 1, or {@code now} is not a finite number
     */
    public synchronized List<Recommendation> recommend(
            int k, List<String> candidates, boolean maskSeen, double now)
            throws PocketRecException {
        if (k < 1) {
            throw new DataException(
                    "k must be at least 1, not " + k + ": ask for one item or more");
        }
        if (Double.isNaN(now) || Double.isInfinite(now)) {
            throw new DataException("now must be a finite number: give Unix seconds");
        }
        int[] history = present().rawRows();
        int[] rows = candidateRows(candidates);
        if (maskSeen || candidates == null) {
            rows = Served.set(rows, history, maskSeen);
        }
        rows = Arrays.stream(rows).filter(bundle.vocabulary::isItem).toArray();
        double[] scores = new double[rows.length];
        Integer[] order = new Integer[rows.length];
        Arrays.setAll(order, place -> place);
        if (history.length > 0) {
            float[] raised = scores(rows, now);
            Arrays.setAll(scores, place -> raised[place]);
            int[] ranked = rows;
            Arrays.sort(
                    order,
                    Comparator.<Integer>comparingDouble(place -> -scores[place])
                            .thenComparingInt(place -> ranked[place]));
        } else {
            Arrays.setAll(scores, place -> 1.0 / (place + 1));
        }
        List<Recommendation> best = new ArrayList<>();
        for (int place = 0; place < Math.min(k, rows.length); place++) {
            int at = order[place];
            best.add(new Recommendation(bundle.vocabulary.id(rows[at]), scores[at]));
        }
        return Collections.unmodifiableList(best);
    }

    /**
     * How well the present weights foresee events that would follow the history; nothing is
     * changed. A bonus for repeats that looks at times is asked at each event's own, which is no
     * earlier than the one before it.
     *
     * @param next later events, oldest first; those whose item is unknown are left out
     * @param cancellation through which another thread may end the work
     * @return loss and rank in the full catalogue of each, oldest first
     */
    public synchronized Training.Judged evaluate(List<Event> next, Cancellation cancellation)
            throws PocketRecException {
        List<String> ids = new ArrayList<>();
        for (Event event : next) {
            ids.add(event.item);
        }
        int[] later = bundle.vocabulary.rows(ids);
        PersonalState old = present();
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
        Repeats repeats = bundle.recipe.repeats.times(share());
        return Training.evaluateTargets(
                open(),
                Arrays.copyOf(rows, count),
                times,
                known,
                repeats.strength == 0 ? null : repeats,
                cancellation);
    }

    /** The user embedding after the history, float [E]; PocketRec never sends it anywhere. */
    public synchronized float[] embed() throws PocketRecException {
        Model model = open();
        return model.embed(Windows.context(present().rawRows(), model.window));
    }

    /**
     * Writes the state atomically and keeps the previous generation.
     *
     * @throws StorageException it could not be written, and the old state is still good
     * @throws StateException no state file was named
     */
    public synchronized void save() throws PocketRecException {
        PersonalState next = state.saved(user == null ? "" : user);
        States.save(path(), next, bundle);
        state = next;
    }

    /**
     * Replaces history and weights by those of the state file.
     *
     * @throws StateException the file is missing, damaged, or of another model or user; nothing was
     *     changed
     */
    public synchronized void load() throws PocketRecException {
        PersonalState read = States.load(path(), bundle);
        if (user != null && !read.user.isEmpty() && !read.user.equals(user)) {
            throw new StateException(
                    path
                            + " is the state of user "
                            + read.user
                            + ": name that user, or another state file");
        }
        String owner = user == null && !read.user.isEmpty() ? read.user : user;
        Bundle own = user == null ? bundle.forUser(owner) : bundle;
        for (int row : read.rawRows()) {
            if (row > own.vocabulary.size()) {
                throw new StateException(
                        path
                                + " has items that this bundle lacks: name its own bundle or"
                                + " another state");
            }
        }
        if (own != bundle) {
            close();
            bundle = own;
        }
        if (model != null) {
            model.importWeights(read.weights == null ? reference : read.weights);
        }
        state = read;
        user = owner;
    }

    /** Forgets history and personal weights in memory; {@link States#reset} deletes the file. */
    public synchronized void reset() throws PocketRecException {
        if (model != null) {
            model.importWeights(reference);
        }
        state = PersonalState.empty(user == null ? "" : user, state.generation);
    }

    /** Gives the model's memory back; a later call opens it again. */
    @Override
    public synchronized void close() {
        if (model != null) {
            model.close();
            model = null;
        }
    }

    /** The model file, opened at first use, holding the present weights. */
    private Model open() throws PocketRecException {
        if (model == null) {
            Model opened = bundle.loadModel(runtime, threads);
            boolean good = false;
            try {
                reference = opened.exportWeights();
                if (state.weights != null) {
                    opened.importWeights(state.weights);
                }
                good = true;
            } finally {
                if (!good) {
                    opened.close();
                }
            }
            model = opened;
        }
        return model;
    }

    /** The time after which an event lies in the future. */
    private double limit() {
        return Clock.futureFrom(System.currentTimeMillis() / 1000.0, bundle.manifest.cutOff);
    }

    /** The state without events of the future. */
    private PersonalState present() {
        int count = History.until(state.rawTimes(), limit());
        return count == state.rawTimes().length
                ? state
                : state.withHistory(
                        Arrays.copyOf(state.rawRows(), count),
                        Arrays.copyOf(state.rawTimes(), count),
                        Math.min(state.trained, count));
    }

    private File path() throws StateException {
        if (path == null) {
            throw new StateException(
                    "no state file was named: give one when the recommender is made");
        }
        return path;
    }

    /**
     * Index of the first event that the global model has not seen: by time, or by number in a log
     * without a cut-off.
     */
    private int since() throws PocketRecException {
        Double cutOff = bundle.manifest.cutOff;
        if (cutOff == null) {
            return user == null ? 0 : Math.min(bundle.knownOf(user), present().rawRows().length);
        }
        int since = 0;
        for (double time : present().rawTimes()) {
            since += time < cutOff ? 1 : 0;
        }
        return since;
    }

    private int[] candidateRows(List<String> candidates) throws PocketRecException {
        if (candidates != null) {
            Set<Integer> rows = new LinkedHashSet<>();
            for (int row : bundle.vocabulary.rows(candidates)) {
                rows.add(row);
            }
            rows.remove(Contract.PADDING);
            return rows.stream().mapToInt(Integer::intValue).toArray();
        }
        int[] own = user == null ? null : bundle.candidatesOf(user);
        return own == null ? bundle.popular() : own;
    }

    /**
     * Scores, float [n], of item rows, int [n], with the bonus for repeats as far as the guard lets
     * this user have it.
     */
    private float[] scores(int[] rows, double now) throws PocketRecException {
        Model model = open();
        PersonalState known = present();
        int[] items = Windows.context(known.rawRows(), model.window);
        float[] scores = new float[rows.length];
        for (int start = 0; start < rows.length; start += model.candidates) {
            int count = Math.min(model.candidates, rows.length - start);
            int[] part =
                    Arrays.copyOf(Arrays.copyOfRange(rows, start, start + count), model.candidates);
            System.arraycopy(model.infer(items, part), 0, scores, start, count);
        }
        double[] times = known.rawTimes();
        bundle.recipe
                .repeats
                .times(share())
                .addTo(scores, rows, known.rawRows(), Repeats.gapsAt(times, times.length, now));
        return scores;
    }

    /**
     * Share of the personal weights, and of the bonus for repeats, that the guard lets this user
     * have.
     */
    private double share() {
        return Guard.shareOf(String.valueOf(state.report.get("choice")));
    }
}
