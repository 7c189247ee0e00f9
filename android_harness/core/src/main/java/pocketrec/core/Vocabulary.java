// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.io.File;
import java.io.IOException;
import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * items.txt, memory-mapped: line i (from 1) is the id of item row i. A large catalogue costs four
 * bytes an item.
 */
public class Vocabulary {
    private final MappedByteBuffer text;
    private final int[] ends; // [N], place of each line feed

    Vocabulary(File path, int count) throws BundleException {
        String again = ": fetch or export the bundle again";
        try (FileChannel channel = FileChannel.open(path.toPath(), StandardOpenOption.READ)) {
            text = channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size());
        } catch (IOException | IllegalArgumentException error) {
            throw new BundleException("no item ids in " + path + again, error);
        }
        ends = new int[count];
        int lines = 0;
        for (int place = 0; place < text.limit(); place++) {
            if (text.get(place) == '\n') {
                if (lines < count) {
                    ends[lines] = place;
                }
                lines++;
            }
        }
        if (lines != count) {
            throw new BundleException(path + " has " + lines + " lines and not " + count + again);
        }
    }

    /** Number N of items. */
    public int size() {
        return ends.length;
    }

    /** Takes note of the events' categories, where they tell the row of an item. */
    void learn(List<Event> events) {}

    /** Whether a row is an item's own. */
    boolean isItem(int row) {
        return true;
    }

    /**
     * Row of each id, int, 0 where it is unknown. One pass over the file, whatever the number of
     * ids.
     */
    public int[] rows(List<String> ids) {
        Map<Integer, List<byte[]>> wanted = new HashMap<>(); // by hash of the bytes
        Map<String, Integer> found = new HashMap<>();
        for (String id : ids) {
            if (found.put(id, Contract.PADDING) == null) {
                byte[] key = id.getBytes(StandardCharsets.UTF_8);
                wanted.computeIfAbsent(Arrays.hashCode(key), hash -> new ArrayList<>()).add(key);
            }
        }
        int left = found.size();
        int start = 0;
        for (int row = 1; row <= ends.length && left > 0; row++) {
            int hash = 1; // as Arrays.hashCode
            for (int place = start; place < ends[row - 1]; place++) {
                hash = 31 * hash + text.get(place);
            }
            Collection<byte[]> keys = wanted.get(hash);
            if (keys != null) {
                byte[] line = line(row);
                for (byte[] key : keys) {
                    String id = new String(key, StandardCharsets.UTF_8);
                    if (Arrays.equals(key, line) && found.get(id) == Contract.PADDING) {
                        found.put(id, row);
                        left--;
                    }
                }
            }
            start = ends[row - 1] + 1;
        }
        int[] rows = new int[ids.size()];
        for (int place = 0; place < rows.length; place++) {
            rows[place] = found.get(ids.get(place));
        }
        return rows;
    }

    /**
     * The id of a row.
     *
     * @throws IndexOutOfBoundsException the row is not in 1..N
     */
    public String id(int row) {
        if (row < 1 || row > ends.length) {
            throw new IndexOutOfBoundsException("row " + row + " is not in 1.." + ends.length);
        }
        return new String(line(row), StandardCharsets.UTF_8);
    }

    private byte[] line(int row) {
        int start = row == 1 ? 0 : ends[row - 2] + 1;
        byte[] line = new byte[ends[row - 1] - start];
        for (int place = 0; place < line.length; place++) {
            line[place] = text.get(start + place);
        }
        return line;
    }
}
