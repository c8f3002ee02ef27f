// Relay's documents on a host's schema with Tallied's merged in, under a prefix.
import { graphql } from "relay-runtime";

export const COMMENTS = graphql`
  fragment documents_comments on ForumThread
  @refetchable(queryName: "documentsCommentsQuery")
  @argumentDefinitions(first: { type: "Int", defaultValue: 10 }, after: { type: "String" }) {
    wordCount
    comments(first: $first, after: $after) @connection(key: "documents_comments") {
      edges {
        node {
          id
          message
        }
      }
    }
  }
`;

export const ARTICLE = graphql`
  fragment documents_article on Article @refetchable(queryName: "documentsArticleQuery") {
    title
  }
`;

export const PAGE = graphql`
  query documentsPageQuery($id: ID!, $article: String!) {
    forumViewer {
      name
    }
    thread(id: $id) {
      ...documents_comments
    }
    article(key: $article) {
      id
      ...documents_article
    }
  }
`;
