// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.io.Closeable;
import java.io.File;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/**
 * A bundle together with one user's history and personal weights; what an application uses.
 *
 * <p>Methods may be called from any thread; they wait for each other, so none sees half-trained
 * weights. Those that touch the model or a file take time: call them on a worker thread, never on
 * Android's main one. Nothing opens a network connection, and nothing leaves the device: events,
 * weights and embeddings stay in this process, and in the state file and the event store that the
 * application names.
 */
public final class Recommender implements Closeable {
    private final Session session;
    private final Serving serving;
    private final Watching watching;

    /** As the other, without an event store: the state holds the history. */
    public Recommender(Bundle bundle, ModelRuntime runtime, String user, File path, int threads)
            throws PocketRecException {
        this(bundle, runtime, user, path, null, threads);
    }

    /**
     * Opens a recommender, and the state where there is one.
     *
     * <p>Of a state of another model the history is carried over by item id; see {@link #outdated}.
     *
     * @param bundle an opened bundle
     * @param runtime what runs the model
     * @param user user id; picks the candidate set; null = an unnamed user, who gets the popular
     *     items
     * @param path state file to continue from and to save to; it need not exist yet; null = none
     * @param store event store that holds the history, such as {@code pocketrec.store.EventStore};
     *     {@link #close} does not close it; null = the state does
     * @param threads threads of the runtime's kernels
     * @throws StateException the state file is damaged, or of another user
     * @throws StoreException the store is damaged
     */
    public Recommender(
            Bundle bundle,
            ModelRuntime runtime,
            String user,
            File path,
            HistoryStore store,
            int threads)
            throws PocketRecException {
        this(bundle, runtime, user, path, store, threads, null);
    }

    /**
     * As the other, with the state file, those of tasks, and what is kept of quality sealed by a
     * key (AES-256-GCM); the event store has a key of its own.
     *
     * @param key 32 random bytes, which PocketRec never writes; null = nothing is sealed
     * @throws StateException the state is sealed with another key, or not sealed
     * @throws ConfigException the key has another length
     */
    public Recommender(
            Bundle bundle,
            ModelRuntime runtime,
            String user,
            File path,
            HistoryStore store,
            int threads,
            byte[] key)
            throws PocketRecException {
        session = new Session(bundle, user, path, store, Seal.of(key));
        serving = new Serving(session, runtime, threads);
        watching = new Watching(session, serving);
    }

    /** The bundle, for this user. */
    public synchronized Bundle bundle() {
        return session.bundle;
    }

    /** User id; null = unnamed. */
    public synchronized String user() {
        return session.user;
    }

    /** What the device keeps of this user. */
    public synchronized PersonalState state() {
        return session.state;
    }

    /** Why the state file's weights were left aside, what became of its history; "" = not so. */
    public synchronized String outdated() {
        return session.outdated;
    }

    /** Events of the history, without those of the future. */
    public synchronized int size() {
        return session.present().rawRows().length;
    }

    /** Item ids of the history, oldest first, without unknown ones and those of the future. */
    public synchronized List<String> history() {
        List<String> ids = new ArrayList<>();
        for (int row : session.present().rawRows()) {
            ids.add(session.bundle.vocabulary.id(row));
        }
        return ids;
    }

    /** The last personalisation's report as JSON values; empty where there was none. */
    public synchronized Map<String, Object> report() {
        return session.state.report;
    }

    /**
     * Whether the bundle has candidates for this user, or there is a history.
     *
     * @throws BundleException the user's candidates cannot be read
     */
    public synchronized boolean isKnown() throws PocketRecException {
        return session.user != null && session.bundle.candidatesOf(session.user) != null
                || size() > 0;
    }

    /**
     * Appends events to the history; they count as context at once, and are trained on by {@link
     * #personalise}. Where there is an event store, they are on the disk when this returns.
     *
     * <p>An event that has the item and the time of one in the history is the same event and is
     * left out, as often as the history has it. An event without a time counts as the latest. Items
     * that the vocabulary lacks are left out; a store keeps these too.
     *
     * @return how many are of items that the vocabulary lacks
     * @throws StorageException the store cannot take them, and has none of them
     * @throws StoreException the store is damaged, or in use for too long, and has none of them
     */
    public synchronized int add(List<Event> events) throws PocketRecException {
        int unknown = session.add(events);
        serving.sync();
        return unknown;
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
     * <p>A training that its budget stops leaves the present weights in use; the next call with the
     * same arguments goes on with it, after {@link #save} in another process too.
     *
     * @param events added to the history first; see {@link #add}
     * @param resume continue from the present weights
     * @param options passes, progress, cancellation, budget
     * @return what was done
     * @throws CancelledException cancelled; the weights are as they were, and the events stay in
     *     the history as context
     * @throws ConfigException the budget has a temperature, and none can be read here
     * @throws BundleException the model file cannot be opened, or does not run
     */
    public synchronized Report personalise(
            List<Event> events, boolean resume, TrainingOptions options) throws PocketRecException {
        TrainingOptions begun = options.begun();
        int unknown = add(events);
        Plan.Wish wish = new Plan.Wish(resume, options);
        boolean fresh = !events.isEmpty();
        Report known =
                options.ifNew
                        ? new Personalising(session, wish, fresh, unknown).nothingNew()
                        : null;
        if (known != null) {
            return known;
        }
        watching.look(options.cancellation);
        Personalising work = new Personalising(session, wish, fresh, unknown);
        double most = watching.quality().watch.most;
        Report report = work.run(serving, begun.withMost(most));
        watching.decided(report);
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
        return recommend(k, RecommendOptions.DEFAULT);
    }

    /**
     * As the other, from other items, with a filter, or asked at another moment than now.
     *
     * <p>Where the model file searches the whole catalogue, the items that it finds, and those that
     * the bundle's neighbours raise most, take the place of the candidates.
     *
     * @throws DataException k is below 1, the moment is not a finite number, or the bundle cannot
     *     search its catalogue and is asked to
     * @throws StateException the weights give scores that are not numbers
     */
    public synchronized List<Recommendation> recommend(int k, RecommendOptions options)
            throws PocketRecException {
        return Answers.recommended(session, serving::open, k, options);
    }

    /** As the other, for lists of 10 and the latest 1,000 events. */
    public QualityReport quality() throws PocketRecException {
        return quality(10, 1000);
    }

    /**
     * How well this device has recommended: events ranked before they were learned, global beside
     * personal.
     *
     * <p>Ranks first what is new (at most the latest 500 events) as {@link #recommend} would have
     * right before each event; {@link #personalise} does so before it trains. Where the weights in
     * use have ranked worse for long, the global ones are in use until the next training. {@link
     * #save} keeps what was ranked under {@code NAME.quality}.
     *
     * @param k length of the lists that Recall and MRR are about, 1 to 100
     * @param last events that they are about, the latest ones of at most 1,000 that are kept
     * @throws DataException {@code k} or {@code last} is out of range
     */
    public synchronized QualityReport quality(int k, int last) throws PocketRecException {
        watching.look(new Cancellation());
        serving.sync();
        return watching.quality().report(k, last);
    }

    /**
     * What people call each item, as the bundle says; "" where it does not.
     *
     * @throws BundleException the file of titles is missing or damaged
     */
    public synchronized List<String> titles(List<String> items) throws BundleException {
        return Arrays.asList(session.bundle.titles(session.bundle.vocabulary.rows(items)));
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
        return Answers.evaluated(session, serving.open(), next, cancellation);
    }

    /** The user embedding after the history, float [E]; PocketRec never sends it anywhere. */
    public synchronized float[] embed() throws PocketRecException {
        Model model = serving.open();
        return model.embed(Windows.context(session.present().rawRows(), model.window));
    }

    /**
     * Writes the state atomically and keeps the previous generation; in a thread that was
     * interrupted too.
     *
     * @throws StorageException it could not be written, and the old state is still good
     * @throws StateException no state file was named
     */
    public synchronized void save() throws PocketRecException {
        watching.saveBoth();
        serving.sync();
    }

    /**
     * Replaces history and weights by those of the state file; with a store, the history is its
     * events.
     *
     * @throws StateException the file is missing, damaged, or of another user; nothing was changed
     */
    public synchronized void load() throws PocketRecException {
        Bundle before = session.bundle;
        session.load();
        watching.reload();
        if (session.bundle != before) {
            close();
        }
        serving.sync();
    }

    /** Begins the history again, in memory; the weights stay until {@link #personalise}. */
    public synchronized void clearHistory() {
        session.clear();
    }

    /** Forgets history and personal weights in memory; {@link States#reset} deletes the file. */
    public synchronized void reset() throws PocketRecException {
        session.restart();
        session.refresh();
        serving.sync();
    }

    /**
     * Deletes events, and what was trained on them: nothing of them stays in any file. The weights
     * are the global ones until the next {@link #personalise}; the state file's previous generation
     * goes.
     *
     * @param events of one without a time all events of its item go, of others that one
     * @return how many events went
     * @throws PocketRecException a file cannot be written: call again
     */
    public synchronized int forget(List<Event> events) throws PocketRecException {
        watching.forget();
        int gone = session.forget(events);
        serving.sync();
        return gone;
    }

    /**
     * Writes all events that are kept of the user to a CSV file, {@code item,timestamp}; gives how
     * many.
     */
    public synchronized int export(File file) throws PocketRecException {
        return session.export(file);
    }

    /**
     * Deletes everything personal: the state file, its previous generation, the event store; gives
     * the files.
     *
     * @throws PocketRecException a file is not ours, or cannot be deleted
     */
    public synchronized List<File> wipe() throws PocketRecException {
        List<File> deleted = session.wipe();
        watching.reload();
        serving.sync();
        return deleted;
    }

    /**
     * A task of the bundle, whose patch stands in for the present weights whenever the task is
     * asked something. The model is not opened anew.
     *
     * @param name of the task; its patch lies in the bundle's folder
     * @throws BundleException there is no such patch, or it is cut short, altered, or of another
     *     model
     */
    public synchronized Task task(String name) throws PocketRecException {
        return new Task(this, session, Patch.open(session.bundle, name));
    }

    /** The user embedding with a task's weights, which the model holds until another call. */
    float[] embedWith(Task task) throws PocketRecException {
        Model model = serving.holding(task.weights(serving.reference()));
        return model.embed(Windows.context(session.present().rawRows(), model.window));
    }

    /** Trains a task's patch; afterwards the model holds this recommender's weights again. */
    Personalise train(
            Task task, TaskTraining.Examples examples, TrainingOptions options)
            throws PocketRecException {
        Model model = serving.open();
        if (model.compared == 0) {
            throw new BundleException(
                    "the bundle's model trains no tasks: use a bundle of `pocketrec transfer`");
        }
        try {
            Weights shared = task.patch.weights(serving.reference());
            serving.holdsOther();
            return new TaskTraining(model, task.patch, shared, options).follow(examples);
        } finally {
            serving.open();
        }
    }

    /** Gives the model's memory back; a later call opens it again. */
    @Override
    public synchronized void close() {
        serving.close();
    }
}
