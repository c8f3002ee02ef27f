// The documents that the programs for Apollo and urql send; graphql-codegen types them.
import { graphql } from "./generated/index.js";

export const COMMENTS = graphql(`
  query Comments($id: ID!, $first: Int, $after: String, $last: Int, $before: String) {
    thread(id: $id) {
      id
      title
      commentCount
      wordCount
      comments(first: $first, after: $after, last: $last, before: $before) {
        totalCount
        edges {
          cursor
          node {
            id
            message
            createdAt
          }
        }
        pageInfo {
          startCursor
          endCursor
          hasNextPage
          hasPreviousPage
        }
      }
    }
  }
`);

export const ADD_COMMENT = graphql(`
  mutation AddComment($input: AddCommentInput!) {
    addComment(input: $input) {
      commentEdge {
        cursor
        node {
          id
          message
          createdAt
          wordCount
        }
      }
      thread {
        id
        commentCount
        wordCount
      }
      viewer {
        author {
          id
          commentCount
          wordCount
        }
      }
      userErrors {
        message
        field
        code
      }
    }
  }
`);

export const THREADS = graphql(`
  query Threads($titleContains: String!, $direction: OrderDirection!, $first: Int, $after: String) {
    threads(
      first: $first
      after: $after
      orderBy: { field: CREATED_AT, direction: $direction }
      filterBy: { titleContains: $titleContains }
    ) {
      totalCount
      edges {
        node {
          id
          title
        }
      }
      pageInfo {
        endCursor
        hasNextPage
      }
    }
  }
`);

export const HEADER = graphql(`
  query Header {
    viewer {
      name
      author {
        id
        commentCount
        wordCount
      }
    }
  }
`);

export const REACTIONS = graphql(`
  query Reactions($id: ID!) {
    comment(id: $id) {
      id
      reactionGroups {
        kind
        count
      }
    }
    limits {
      pageSize
    }
  }
`);

export const REACT = graphql(`
  mutation React($input: AddReactionInput!) {
    addReaction(input: $input) {
      comment {
        id
        reactionGroups {
          kind
          count
        }
      }
    }
  }
`);

export const WITHDRAW = graphql(`
  mutation Withdraw($input: RemoveReactionInput!) {
    removeReaction(input: $input) {
      comment {
        id
        reactionGroups {
          kind
          count
        }
      }
    }
  }
`);

export const LIMITS = graphql(`
  query Limits {
    limits {
      titleLength
    }
  }
`);
