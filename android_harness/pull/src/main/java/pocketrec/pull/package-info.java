// SPDX-License-Identifier: Apache-2.0
/** Fetching published bundles into a folder of versions. */
package pocketrec.pull;
